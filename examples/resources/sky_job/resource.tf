resource "sky_cluster" "train" {
  name      = "train"
  num_nodes = 2

  resources = {
    infra        = "fluffycloud"
    accelerators = "T4:1"
  }
}

# Runs on both nodes at once. The apply waits for the end, and fails with the
# job's exit code and the end of its log where the job fails.
resource "sky_job" "train" {
  cluster_id = sky_cluster.train.id
  name       = "train"
  num_nodes  = 2

  envs = {
    EPOCHS = "3"
  }

  run = <<-EOT
    head=$(echo "$SKYPILOT_NODE_IPS" | head -n 1)
    echo "node $SKYPILOT_NODE_RANK of $SKYPILOT_NUM_NODES trains $EPOCHS epochs; the head is $head"
  EOT

  # Change it to run the same job again.
  run_id = "2026-11-23"
}

# What else a job can be given. Secrets are kept nowhere and need Terraform 1.11
# or OpenTofu 1.11.
variable "registry_token" {
  type      = string
  ephemeral = true
}

resource "sky_job" "evaluate" {
  cluster_id = sky_cluster.train.id
  name       = "evaluate"

  # Whatever comes first, in the queue as well.
  depends_on = [sky_job.train]

  setup = "mkdir -p ~/scores"

  run = <<-EOT
    echo "the token has $${#REGISTRY_TOKEN} letters" > ~/scores/token.txt
    seq 10 > ~/scores/all.txt
  EOT

  secrets         = { REGISTRY_TOKEN = var.registry_token }
  secrets_version = "1" # change it with the secrets

  # Ended after an hour; exit code 75 starts it again, twice at most.
  max_duration          = "1h"
  recover_on_exit_codes = [75]
  max_restarts          = 2

  # Comes back when the job has ended.
  outputs = {
    files  = ["~/scores/*.txt"]
    folder = "${path.module}/results"
  }

  # A wait that runs out of time is a warning, and the next apply goes on
  # waiting. With this the apply fails until the job has succeeded.
  timeouts = { create = "30m" }

  lifecycle {
    postcondition {
      condition     = self.status == "SUCCEEDED"
      error_message = "The evaluation is ${self.status}; its log is in ${self.log_path}."
    }
  }
}

output "log" {
  value = sky_job.train.log_tail
}
