// SPDX-License-Identifier: MPL-2.0

package skypilot

import "slices"

// taskFields and resourceFields are SkyPilot's, those that are refused too: a
// name that is none of them is a typo, or made up.
func taskFields() []string {
	return []string{
		"name", "workdir", "num_nodes", "resources", "envs", "secrets", "file_mounts", "setup", "run", "service", "pool",
		"volumes", "storage", "config", "experimental", "event_callback", "inputs", "outputs", "job_recovery",
	}
}

func resourceFields() []string {
	return []string{
		"infra", "cloud", "region", "zone", "instance_type", "cpus", "memory", "accelerators", "gpus", "accelerator_args",
		"use_spot", "disk_size", "disk_tier", "local_disk", "network_tier", "max_hourly_cost", "image_id", "ports", "labels",
		"autostop", "any_of", "ordered", "job_recovery", "priority", "volumes", "hooks",
	}
}

// unknown refuses a field that is not carried.
func (a at) unknown(name string, ours, others []string, place string) {
	a = a.key(name)
	switch near := nearest(name, ours); {
	case slices.Contains(ours, name):
		a.refuse("remove it from the YAML"+insteadOf(name), "this field cannot be carried")
	case slices.Contains(others, name):
		a.refuse("move it to "+place, "this field does not belong here")
	case near != "":
		a.refuse("write "+near, "this field does not exist in SkyPilot")
	default:
		a.refuse("remove it from the YAML", "this field cannot be carried, SkyPilot has none of this name")
	}
}

// nearest is the name that is a typing error away, or empty.
func nearest(name string, names []string) string {
	best, at := "", 1+max(1, min(3, len(name)/3))
	for _, n := range names {
		if d := distance(name, n); d < at {
			best, at = n, d
		}
	}
	return best
}

// distance is how many letters two names differ by; letters in another order are
// one error.
func distance(a, b string) int {
	if x, y := []byte(a), []byte(b); a != b {
		slices.Sort(x)
		slices.Sort(y)
		if slices.Equal(x, y) {
			return 1
		}
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// otherKind says what a YAML is that is no task; empty for a task.
func otherKind(fields map[string]any) string {
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(n string) bool { _, ok := fields[n]; return !ok })
	}
	switch {
	case has("apiVersion", "kind"):
		return "a Kubernetes manifest"
	case has("services") && !has("run"):
		return "a Docker Compose file"
	case has("cluster_name") && (has("provider") || has("available_node_types") || has("auth")):
		return "a cluster config of Ray"
	case has("jobs", "on"):
		return "a GitHub workflow"
	case has("allowed_clouds") || has("api_server") || has("admin_policy"):
		return "SkyPilot's own configuration, whose place is the provider block"
	}
	return ""
}

// insteadOf says where the provider has what a SkyPilot field does.
func insteadOf(name string) string {
	switch name {
	case "job_recovery":
		return " and give recover_on_exit_codes and max_restarts where the job is declared"
	case "config", "experimental":
		return "; what it sets per cloud is in the provider block"
	case "pool":
		return "; serving is not part of this provider"
	case "volumes", "storage":
		return "; mount them in setup"
	case "hooks":
		return " and give autostop's hook where the cluster is declared"
	}
	return ""
}
