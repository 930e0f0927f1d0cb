# cloud/region/name; what was configured is known again where the cluster was
# launched from the same state folder.
terraform import sky_cluster.train aws/us-east-1/train
