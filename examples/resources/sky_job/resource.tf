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

output "log" {
  value = sky_job.train.log_tail
}
