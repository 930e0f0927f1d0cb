// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

// usedTask gives a task's parts to resources as the function's page shows it.
const usedTask = `
locals {
  task  = provider::sky::task(file(%TASK%))
  given = provider::sky::task(file(%TASK%), { base = path.module, name = "given", envs = { TOKEN = "t", N = 8 } })
}
resource "sky_cluster" "task" {
  name        = local.task.name
  num_nodes   = local.task.num_nodes
  resources   = local.task.resources
  setup       = local.task.setup
  envs        = merge(local.task.envs, { for n in local.task.required_envs : n => "given" })
  workdir     = local.task.workdir
  file_mounts = local.task.file_mounts
  autostop    = local.task.autostop
}
output "beside" {
  value = [local.given.name, local.given.envs, local.task.secrets, local.task.service, provider::sky::task_problems(file(%TASK%))]
}
`

// TestAccTasksPlan plans tasks with little and with much in them, files under the
// home folder among it, and shows all problems of one that cannot be used.
func TestAccTasksPlan(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	for _, dir := range []string{"code", "data-8"} {
		if err := os.Mkdir(filepath.Join(home, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(home, dir, "a.txt"), "a")
	}
	planned := func(text string) resource.TestStep {
		return resource.TestStep{Config: text, PlanOnly: true, ExpectNonEmptyPlan: true}
	}
	l := planOnly(t)
	config := func(name, task string) string {
		file := filepath.Join(l.dir, name)
		writeFile(t, file, task)
		return l.config(strings.ReplaceAll(usedTask, "%TASK%", strconv.Quote(file)))
	}
	refused := planned(config("refused.yaml", "resorces: {}\nnum_nodes: many\n"))
	refused.ExpectError = rewrapped("it has 2 problems", "line 1: resorces", "write resources", `line 2: num_nodes: "many" is not a whole number`)
	l.test(
		planned(config("empty.yaml", "run: echo\n")),
		planned(config("whole.yaml", `
name: whole
workdir: ~/code
envs: {N: 8, TOKEN: }
secrets: {HF: }
service: {replicas: 2, ports: 8080}
file_mounts: {/data: "~/data-${N}"}
resources:
  cpus: 2+
  memory: 1GB+
  disk_size: 100GB
  disk_tier: best
  use_spot: no
  autostop: {idle_minutes: 10, down: true, wait_for: jobs}
`)),
		refused,
	)
}
