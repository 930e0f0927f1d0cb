# SPDX-License-Identifier: MPL-2.0

output "cluster" {
  description = "Where the cluster ran, and for how much an hour."
  value = {
    infra         = "${sky_cluster.primes.cloud}/${sky_cluster.primes.region}/${sky_cluster.primes.zone}"
    instance_type = sky_cluster.primes.instance_type
    hourly_cost   = sky_cluster.primes.hourly_cost
  }
}

output "log" {
  description = "The end of the job's log, node by node."
  value       = sky_job.twins.log_tail
}

output "total" {
  description = "The primes, their sum and the twins among them, summed over the nodes."
  value       = local.total

  precondition {
    condition     = local.total == local.known
    error_message = "The nodes counted ${jsonencode(local.total)}; known is ${jsonencode(local.known)}."
  }
}

output "known" {
  description = "The known answer; an apply that finds another fails."
  value       = local.known
}
