# SPDX-License-Identifier: MPL-2.0

# A module that counts words on two machines with an accelerator each, on the
# cheapest cloud there is. Its tests, in tests/, run it on FluffyCloud.

terraform {
  required_version = ">= 1.8"
  required_providers {
    sky = {
      source = "skybroker/sky"
    }
  }
}

variable "name" {
  type        = string
  description = "The cluster's name."
}

variable "words" {
  type        = list(string)
  description = "What to count."

  validation {
    condition     = length(var.words) > 0
    error_message = "There must be a word to count."
  }
}

resource "sky_cluster" "this" {
  name      = var.name
  num_nodes = 2

  resources = {
    accelerators    = "T4:1"
    max_hourly_cost = 3
  }
}

resource "sky_job" "this" {
  cluster_id = sky_cluster.this.id
  name       = "count"
  num_nodes  = 2
  envs       = { WORDS = join(" ", var.words) }
  run        = "echo \"node $SKYPILOT_NODE_RANK has $(echo $WORDS | wc -w) words\""
}

output "log" {
  value = sky_job.this.log_tail
}
