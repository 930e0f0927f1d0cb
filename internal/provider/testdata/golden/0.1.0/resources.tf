resource "sky_cluster" "c" {
  name      = "golden"
  num_nodes = 2
  resources = {
    infra           = "fluffycloud/meadow-1"
    accelerators    = "T4:1"
    cpus            = "2+"
    disk_size       = 40
    ports           = ["8080", "9000-9010"]
    labels          = { team = "wool" }
    max_hourly_cost = 5
  }
  setup       = "true"
  envs        = { COLOR = "blue" }
  workdir     = "${path.module}/work"
  file_mounts = { "~/data" = "${path.module}/work" }
  timeouts    = { create = "10m" }
}
resource "sky_cluster" "any" {
  name      = "golden-any"
  resources = {
    any_of = [
      { infra = "fluffycloud/meadow-1", accelerators = "T4:1" },
      { infra = "fluffycloud/hilltop-1", accelerators = "T4:1", use_spot = true },
    ]
  }
}
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  name       = "golden"
  num_nodes  = 2
  run        = "echo done"
  envs       = { SHEEP = "7" }
}
