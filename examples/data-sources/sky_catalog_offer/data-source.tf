# What would a T4 with four vCPUs or more cost, and where?
data "sky_catalog_offer" "t4" {
  clouds          = ["fluffycloud"]
  accelerators    = "T4:1"
  cpus            = "4+"
  max_hourly_cost = 2
}

output "cheapest" {
  value = "${data.sky_catalog_offer.t4.instance_type} in ${data.sky_catalog_offer.t4.region}"
}

# The five cheapest spot offers, best first.
data "sky_catalog_offer" "spot" {
  clouds       = ["fluffycloud"]
  accelerators = "T4:1"
  use_spot     = true
  limit        = 5
}
