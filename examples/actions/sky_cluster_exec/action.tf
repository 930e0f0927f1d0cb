resource "sky_cluster" "train" {
  name      = "train"
  num_nodes = 2
  resources = { accelerators = "A100:8" }

  lifecycle {
    action_trigger {
      events  = [after_create, after_update]
      actions = [action.sky_cluster_exec.gpus]
    }
  }
}

action "sky_cluster_exec" "gpus" {
  config {
    cluster_id = sky_cluster.train.id
    command    = "nvidia-smi --query-gpu=name,utilization.gpu --format=csv"
    ranks      = [0, 1]
  }
}

# And by hand: terraform apply -invoke=action.sky_cluster_exec.gpus
