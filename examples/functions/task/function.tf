# The second argument is optional: paths of the task begin in this module, and the
# project, which the YAML names without a value, comes from a variable.
locals {
  task = provider::sky::task(file("${path.module}/task.yaml"), {
    base = path.module
    envs = { WANDB_PROJECT = var.project }
  })
}

variable "project" {
  type = string
}

resource "sky_cluster" "task" {
  name        = local.task.name
  num_nodes   = local.task.num_nodes
  resources   = local.task.resources
  setup       = local.task.setup
  envs        = local.task.envs
  workdir     = local.task.workdir
  file_mounts = local.task.file_mounts
  autostop    = local.task.autostop
}

resource "sky_job" "task" {
  cluster_id            = sky_cluster.task.id
  name                  = local.task.name
  num_nodes             = local.task.num_nodes
  run                   = local.task.run
  envs                  = local.task.envs
  recover_on_exit_codes = local.task.recover_on_exit_codes
  max_restarts          = local.task.max_restarts
}
