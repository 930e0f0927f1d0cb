# Says what has to change in a task, all at once, where the plan would fail on it.
output "problems" {
  value = [
    for p in provider::sky::task_problems(file("${path.module}/task.yaml")) :
    "line ${coalesce(p.line, 1)}: ${p.field}: ${p.means}; ${p.write}"
  ]
}
