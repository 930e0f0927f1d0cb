# The jobs of a group run side by side, each on a cluster of its own. What they name
# in secrets would be given in secrets of sky_job.
locals {
  group = { for task in provider::sky::tasks(file("${path.module}/group.yaml"), { base = path.module }).tasks : task.name => task }
}

resource "sky_cluster" "group" {
  for_each    = local.group
  name        = each.key
  num_nodes   = each.value.num_nodes
  resources   = each.value.resources
  workdir     = each.value.workdir
  file_mounts = each.value.file_mounts
  setup       = each.value.setup
  envs        = each.value.envs
  autostop    = each.value.autostop
}

resource "sky_job" "group" {
  for_each              = local.group
  cluster_id            = sky_cluster.group[each.key].id
  name                  = each.key
  num_nodes             = each.value.num_nodes
  run                   = each.value.run
  envs                  = each.value.envs
  recover_on_exit_codes = each.value.recover_on_exit_codes
  max_restarts          = each.value.max_restarts
}
