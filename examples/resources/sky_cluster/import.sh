# By id, cloud/region/name. The cluster has to carry this owner's tags, and its
# SSH keys have to be in the provider's state folder.
terraform import sky_cluster.train fluffycloud/meadow-1/train
