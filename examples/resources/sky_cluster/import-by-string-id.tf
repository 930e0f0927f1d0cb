import {
  to = sky_cluster.train
  id = "aws/us-east-1/train"
}
