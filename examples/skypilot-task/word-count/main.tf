# SPDX-License-Identifier: MPL-2.0

# Runs task.yaml, which `sky launch` takes as well, by the module around it.

terraform {
  required_version = ">= 1.11"
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

module "count" {
  source = "../"

  file = "${path.module}/task.yaml"
  envs = { LONGEST = 3 }

  outputs = {
    files     = ["counted-*.txt"]
    folder    = "${path.module}/results"
    all_nodes = true
  }
}

output "log" {
  value = module.count.log
}

output "results" {
  value = module.count.results
}
