action "sky_autostop_extend" "tonight" {
  config {
    cluster_id = sky_cluster.train.id
    minutes    = 720
  }
}

# terraform apply -invoke=action.sky_autostop_extend.tonight
