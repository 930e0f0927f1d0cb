action "sky_job_cancel" "train" {
  config {
    cluster_id = sky_cluster.train.id
    job_id     = sky_job.train.id
  }
}

# terraform apply -invoke=action.sky_job_cancel.train
