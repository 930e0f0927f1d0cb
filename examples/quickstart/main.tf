# SPDX-License-Identifier: MPL-2.0

# Two machines with an accelerator each share out a file of primes and count
# the twins among them. `make quickstart` runs this on FluffyCloud, the cloud
# that is built into the provider: no account, no bill.

terraform {
  required_version = ">= 1.8"
  required_providers {
    sky = {
      source = "skybroker/sky"
    }
  }
}

provider "sky" {}

resource "sky_cluster" "primes" {
  name      = "primes"
  num_nodes = 2

  resources = {
    infra           = "fluffycloud"
    accelerators    = "T4:1"
    max_hourly_cost = 5
  }

  # The folder goes to every node, and jobs start in it.
  workdir = "${path.module}/work"

  # Runs once on every node, before any job.
  setup = "awk 'END { print NR, \"primes are here\" }' primes.txt"
}

resource "sky_job" "twins" {
  cluster_id = sky_cluster.primes.id
  name       = "twins"
  num_nodes  = 2

  # Every node takes the lines that fall to its rank.
  run = <<-EOT
    awk -v rank="$SKYPILOT_NODE_RANK" \
        -v nodes="$SKYPILOT_NUM_NODES" \
        -v accelerators="$SKYPILOT_NUM_GPUS_PER_NODE" \
        -f twins.awk primes.txt
  EOT
}

locals {
  # One line a node: "(rank 0) node 1 of 2, ...: primes=4796 sum=227223162 twins=599".
  partials = regexall("primes=(\\d+) sum=(\\d+) twins=(\\d+)", sky_job.twins.log_tail)

  total = {
    primes = sum(concat([0], [for p in local.partials : tonumber(p[0])]))
    sum    = sum(concat([0], [for p in local.partials : tonumber(p[1])]))
    twins  = sum(concat([0], [for p in local.partials : tonumber(p[2])]))
  }

  # What mathematics says of the primes below 100,000.
  known = {
    primes = 9592
    sum    = 454396537
    twins  = 1224
  }
}
