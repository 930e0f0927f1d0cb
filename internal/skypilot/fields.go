// SPDX-License-Identifier: MPL-2.0

package skypilot

import "slices"

// taskFields and resourceFields are SkyPilot's, those that are refused too: a
// name that is none of them is a typo, or made up.
func taskFields() []string {
	return []string{
		"name", "workdir", "num_nodes", "resources", "envs", "secrets", "file_mounts", "setup", "run", "service", "pool",
		"volumes", "storage", "config", "experimental", "event_callback", "inputs", "outputs", "managed_secrets", "api_server_access",
	}
}

func resourceFields() []string {
	return []string{
		"infra", "cloud", "region", "zone", "instance_type", "cpus", "memory", "accelerators", "gpus", "accelerator_args",
		"use_spot", "disk_size", "disk_tier", "local_disk", "network_tier", "max_hourly_cost", "image_id", "ports", "labels",
		"autostop", "any_of", "ordered", "job_recovery", "priority", "priority_class", "ephemeral_storage", "volumes", "hooks",
	}
}

// groupFields are those of what is said of several tasks at once.
func groupFields() []string {
	return []string{"name", "execution", "primary_tasks", "termination_delay", "inter_connection"}
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
	case "accelerator_args":
		return "; what runs on a TPU is not chosen here"
	case "local_disk":
		return ", and name an instance_type that has such disks"
	case "ephemeral_storage":
		return " and write disk_size"
	case "priority", "priority_class":
		return "; the jobs of a cluster run first in, first out"
	case "event_callback":
		return ", and run it after the apply"
	case "inputs":
		return " and give inputs, which have a cloud, within resources where the cluster is declared"
	case "outputs":
		return " and give outputs where the job is declared, which fetches the files"
	case "config", "experimental":
		return "; what it sets per cloud is in the provider block"
	case "pool":
		return "; serving is not part of this provider"
	case "volumes":
		return ", and mount it in setup: a volume that SkyPilot made is not known here"
	case "storage":
		return "; mount buckets in setup"
	case "hooks":
		return " and give autostop's hook where the cluster is declared"
	}
	return ""
}
