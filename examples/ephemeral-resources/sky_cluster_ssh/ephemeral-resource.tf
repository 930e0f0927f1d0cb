ephemeral "sky_cluster_ssh" "head" {
  cluster_id = sky_cluster.train.id
}

# A provisioner that goes the same way, by the pinned host key.
resource "terraform_data" "motd" {
  input = sky_cluster.train.generation

  connection {
    host        = ephemeral.sky_cluster_ssh.head.host
    port        = ephemeral.sky_cluster_ssh.head.port
    user        = ephemeral.sky_cluster_ssh.head.user
    host_key    = ephemeral.sky_cluster_ssh.head.host_key
    private_key = ephemeral.sky_cluster_ssh.head.private_key
  }

  provisioner "remote-exec" {
    inline = ["echo 'Managed by Terraform' > ~/motd"]
  }
}
