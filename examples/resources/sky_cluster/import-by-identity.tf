import {
  to = sky_cluster.train
  identity = {
    name   = "train"
    cloud  = "aws"
    region = "us-east-1"
  }
}
