# SPDX-License-Identifier: MPL-2.0

# Runs a SkyPilot task as it is: task.yaml says what machines, files and scripts,
# and its parts feed a cluster and a job. What the provider cannot carry of a
# task fails the plan with the name of the field.

terraform {
  required_version = ">= 1.8"
  required_providers {
    sky = {
      source = "skybroker/sky"
    }
  }
}

# The cloud that is built into the provider; leave this out to use your own.
provider "sky" {
  enabled_clouds = ["fluffycloud"]
}

locals {
  task = provider::sky::task(file("${path.module}/task.yaml"))
}

resource "sky_cluster" "task" {
  name        = local.task.name
  num_nodes   = local.task.num_nodes
  resources   = local.task.resources
  workdir     = local.task.workdir
  file_mounts = local.task.file_mounts
  envs        = local.task.envs
  setup       = local.task.setup
}

resource "sky_job" "task" {
  cluster_id = sky_cluster.task.id
  name       = local.task.name
  num_nodes  = local.task.num_nodes
  envs       = local.task.envs
  run        = local.task.run

  outputs = {
    files     = ["counted-*.txt"]
    folder    = "${path.module}/results"
    all_nodes = true
  }
}

output "log" {
  value = sky_job.task.log_tail
}

output "results" {
  value = sky_job.task.output_files
}
