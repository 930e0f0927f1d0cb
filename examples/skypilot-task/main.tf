# SPDX-License-Identifier: MPL-2.0

# A module that runs a SkyPilot task as it is: the file says what machines, files
# and scripts, and this feeds them to a cluster and a job. What cannot be carried
# fails the plan with the line, the field and what to write instead. The folder
# word-count calls it.

terraform {
  required_version = ">= 1.11"
  required_providers {
    sky = {
      source = "skybroker/sky"
    }
  }
}

locals {
  tasks = provider::sky::tasks(file(var.file), {
    base   = coalesce(var.base, dirname(var.file))
    commit = var.commit
    envs   = var.envs
    ignore = var.ignore
    infra  = var.infra
    name   = var.name
  }).tasks
  task = local.tasks[coalesce(var.document, 0)]

  # What the task names without a value, and envs do not give either, is secret; so
  # is what secret_envs names, be it with a placeholder in the file or not there at
  # all. The names in secrets itself cannot count: they are ephemeral, and may not
  # decide where setup runs.
  secret_names = distinct(concat(
    coalesce(local.task.secrets, []),
    coalesce(local.task.required_envs, []),
    var.secret_envs,
  ))
  envs = { for name, value in coalesce(local.task.envs, {}) : name => value if !contains(local.secret_names, name) }

  # A cluster's own setup has no secrets, since it runs again whenever a machine
  # is added. So setup is the job's where there are some.
  setup_on_job = length(local.secret_names) > 0 && local.task.setup != null
  has_job      = local.task.run != null || local.setup_on_job
}

resource "sky_cluster" "task" {
  name        = local.task.name
  num_nodes   = local.task.num_nodes
  resources   = local.task.resources
  workdir     = local.task.workdir
  file_mounts = local.task.file_mounts
  envs        = local.envs
  setup       = local.setup_on_job ? null : local.task.setup
  autostop    = local.task.autostop

  lifecycle {
    precondition {
      condition     = var.document != null || length(local.tasks) == 1
      error_message = "${var.file} has ${length(local.tasks)} tasks; say with document which one this is, from 0."
    }
    precondition {
      condition     = length(setsubtract(local.secret_names, nonsensitive(keys(var.secrets)))) == 0
      error_message = "The task needs values, in envs or secrets, for: ${join(", ", local.secret_names)}."
    }
    precondition {
      condition     = length(setsubtract(nonsensitive(keys(var.secrets)), local.secret_names)) == 0
      error_message = "A name in secrets is not among the task's secrets (${join(", ", local.secret_names)}), so it would reach no script. Name it in secret_envs too, as secret_envs = [\"GIT_TOKEN\"] for the token of a git workdir, or remove it from secrets."
    }
  }
}

resource "sky_job" "task" {
  count = local.has_job ? 1 : 0

  cluster_id            = sky_cluster.task.id
  name                  = local.task.name
  num_nodes             = local.task.num_nodes
  envs                  = local.envs
  setup                 = local.setup_on_job ? local.task.setup : null
  run                   = coalesce(local.task.run, "true")
  secrets               = length(local.secret_names) > 0 ? var.secrets : null
  secrets_version       = length(local.secret_names) > 0 ? var.secrets_version : null
  recover_on_exit_codes = local.task.recover_on_exit_codes
  max_restarts          = local.task.max_restarts
  outputs               = var.outputs
}
