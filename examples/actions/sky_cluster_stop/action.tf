action "sky_cluster_stop" "train" {
  config {
    cluster_id = sky_cluster.train.id
  }
}

# terraform apply -invoke=action.sky_cluster_stop.train
