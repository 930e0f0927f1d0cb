# The cheapest two machines with a T4 each. Where the first place has none left,
# the next one is tried, as long as the whole costs no more than the bound.
# Without infra, all clouds are searched but FluffyCloud, which has to be named.
resource "sky_cluster" "train" {
  name      = "train"
  num_nodes = 2

  resources = {
    infra           = "fluffycloud"
    accelerators    = "T4:1"
    cpus            = "4+"
    max_hourly_cost = 5
  }

  # Sent to every node, less what .gitignore or .skyignore leaves out.
  workdir = "${path.module}/src"

  envs = {
    EPOCHS = "3"
  }

  # Runs once on every node.
  setup = "echo \"$EPOCHS epochs to come\""
}

# Either of two kinds of machine, whichever is cheaper, as spot.
resource "sky_cluster" "batch" {
  name = "batch"

  resources = {
    infra    = "fluffycloud"
    use_spot = true
    any_of = [
      { accelerators = "T4:1" },
      { accelerators = "V100:1", infra = "fluffycloud/meadow-1" },
    ]
  }
}

output "ssh" {
  value = sky_cluster.train.ssh_command
}

# Ends by itself after half an hour without jobs and SSH sessions.
resource "sky_cluster" "lab" {
  name      = "lab"
  resources = { infra = "fluffycloud", cpus = "2+" }

  autostop = {
    idle_minutes = 30
    hook         = "echo \"ended at $(date)\" >>~/ends"
  }
}
