# The jobs of a group run side by side, each on a cluster of its own.
locals {
  group = { for task in provider::sky::tasks(file("${path.module}/group.yaml"), { base = path.module }).tasks : task.name => task }
}

resource "sky_cluster" "group" {
  for_each  = local.group
  name      = each.key
  num_nodes = each.value.num_nodes
  resources = each.value.resources
  setup     = each.value.setup
  envs      = each.value.envs
}

resource "sky_job" "group" {
  for_each   = local.group
  cluster_id = sky_cluster.group[each.key].id
  name       = each.key
  num_nodes  = each.value.num_nodes
  run        = each.value.run
  envs       = each.value.envs
}
