action "sky_job_logs" "train" {
  config {
    cluster_id = sky_cluster.train.id
    job_id     = sky_job.train.id
    tail_lines = 20
    timeout    = "2h"
  }
}

# terraform apply -invoke=action.sky_job_logs.train
