# SPDX-License-Identifier: MPL-2.0

output "cluster" {
  description = "The cluster, as sky_cluster has it."
  value       = sky_cluster.task
}

output "log" {
  description = "The end of the job's log; null without a job."
  value       = one(sky_job.task[*].log_tail)
}

output "results" {
  description = "The files that outputs brought; null without a job."
  value       = one(sky_job.task[*].output_files)
}
