# In a file such as lost.tfquery.hcl, for
#   terraform query -generate-config-out=found.tf
list "sky_cluster" "lost" {
  provider = sky

  config {
    unheld = true
  }
}
