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

# Whichever of two is cheaper; as a list, ["A100:8", "T4:1"], the first would win.
data "sky_catalog_offer" "either" {
  clouds       = ["fluffycloud"]
  accelerators = { A100 = 8, T4 = 1 }
}

# Which prices answered, and how old they are.
output "prices" {
  value = [for c in data.sky_catalog_offer.either.catalogs : "${c.cloud}: ${c.kind}, ${c.date}"]
}
