data "sky_cost_report" "week" {
  window     = "168h"
  depends_on = [sky_cluster.train]
}

output "cost_of_the_week" {
  value = format("about %.2f dollars; %.2f an hour now",
  data.sky_cost_report.week.in_window.cost, data.sky_cost_report.week.hourly_cost)
}
