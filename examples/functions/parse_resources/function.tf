resource "sky_cluster" "train" {
  name = "train"
  resources = provider::sky::parse_resources(<<-EOT
    infra: fluffycloud
    accelerators: {T4: 1, V100: 1}
    cpus: 4+
    use_spot: true
  EOT
  )
}
