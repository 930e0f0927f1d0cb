// SPDX-License-Identifier: MPL-2.0

package clusterconfig_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
	"github.com/skybroker/terraform-provider-sky/templates"
)

const canary = "-----BEGIN CANARY-----\nAAAA\n-----END CANARY-----\n"

func vars(cloudName string) clusterconfig.Vars {
	return clusterconfig.Vars{
		ClusterName: "train", Cloud: cloudName, Region: "r", Zone: "z", InstanceType: "t", Nodes: 2, Rank: 1,
		AuthorizedKeys: []string{`ssh-ed25519 AAAA user "quoted"`, "ssh-ed25519 BBBB"},
		HostKey:        clusterconfig.HostKey{Private: canary, Public: "ssh-ed25519 CCCC"},
	}
}

// Every embedded template must render, and its user data must be what
// cloud-init reads: the host key to the letter.
func TestEmbeddedTemplatesRender(t *testing.T) {
	files, err := filepath.Glob("../../templates/*.yaml.tmpl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no templates found: %v", err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".yaml.tmpl")
		t.Run(name, func(t *testing.T) {
			tmpl, err := clusterconfig.Load(templates.FS, "", name)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := tmpl.Render(vars(name))
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(cfg.UserData, "#!") {
				checkScript(t, cfg.UserData, canary, vars(name).AuthorizedKeys)
				return
			}
			var data struct {
				SSHKeys struct {
					Private string `yaml:"ed25519_private"`
				} `yaml:"ssh_keys"`
				Authorized []string `yaml:"ssh_authorized_keys"`
			}
			if err := yaml.Unmarshal([]byte(cfg.UserData), &data); err != nil {
				t.Fatalf("user data is no YAML: %v", err)
			}
			if data.SSHKeys.Private != canary {
				t.Errorf("host key in user data = %q, want %q", data.SSHKeys.Private, canary)
			}
			if len(data.Authorized) != 2 || data.Authorized[0] != vars(name).AuthorizedKeys[0] {
				t.Errorf("authorized keys = %q", data.Authorized)
			}
		})
	}
}

// checkScript: a container's command has functions that print the keys.
func checkScript(t *testing.T, text, hostKey string, authorized []string) {
	t.Helper()
	functions, _, ok := strings.Cut(text, "\nset -u\n")
	if !ok {
		t.Fatalf("the command does not begin with its functions: %.300s", text)
	}
	for function, want := range map[string]string{"host_key": hostKey, "authorized_keys": strings.Join(authorized, "\n") + "\n"} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", functions+"\n"+function).Output()
		if err != nil || strings.TrimSpace(string(out)) != strings.TrimSpace(want) {
			t.Errorf("%s prints %q, %v, want %q", function, out, err, want)
		}
	}
}

func TestUserTemplateOverrides(t *testing.T) {
	dir := t.TempDir()
	text := "ssh_user: me\nnode_config: {tier: gold}\nsetup: echo {{ .Rank }} of {{ .Nodes }}\n"
	if err := os.WriteFile(filepath.Join(dir, "fluffycloud.yaml.tmpl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tmpl, err := clusterconfig.Load(templates.FS, dir, "fluffycloud")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := tmpl.Render(vars("fluffycloud"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.SSHUser != "me" || cfg.NodeConfig["tier"] != "gold" || cfg.Setup != "echo 1 of 2" || cfg.ProcessManager != clusterconfig.ProcessAuto {
		t.Errorf("Render = %+v", cfg)
	}
	if _, err := clusterconfig.Load(templates.FS, dir, "nimbus"); err == nil || !strings.Contains(err.Error(), `"nimbus" has no cluster template`) {
		t.Errorf("Load of a cloud without template = %v", err)
	}
}

func TestBrokenTemplates(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"syntax", "ssh_user: ubuntu\n{{ .Rank ", "own.yaml.tmpl:2"},
		{"unknown variable", "ssh_user: ubuntu\nsetup: {{ .Rnak }}", "own.yaml.tmpl:2:10"},
		{"unknown field", "ssh_user: ubuntu\nnode_cfg: {}\n", `line 2, column 1: unknown field "node_cfg"`},
		{"wrong type", "ssh_user: ubuntu\nnode_config: 3\n", "line 2"},
		{"bad yaml", "ssh_user: [ubuntu\n", "line 1"},
		{"no user", "setup: true\n", "ssh_user must be"},
		{"user with newline", "ssh_user: \"a\\nb\"\n", "ssh_user must be"},
		{"process manager", "ssh_user: ubuntu\nprocess_manager: upstart\n", `process_manager must be "auto" or "setsid"`},
		{"key beside a mistake", "ssh_user: ubuntu\nbad: {{ .HostKey.Private | quote }}\n", "line 2"},
		{"endless", `ssh_user: ubuntu{{ define "a" }}{{ template "a" . }}x{{ end }}{{ template "a" . }}`, "own.yaml.tmpl"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tmpl, err := clusterconfig.Parse("own.yaml.tmpl", tt.text)
			if err == nil {
				_, err = tmpl.Render(vars("own"))
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error = %v, want it to contain %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "CANARY") {
				t.Errorf("the error shows a key: %v", err)
			}
		})
	}
}

func FuzzRender(f *testing.F) {
	f.Add("ssh_user: ubuntu\nsetup: {{ .Rank }}\n")
	f.Add("{{ range .AuthorizedKeys }}{{ . }}{{ end }}")
	f.Add("ssh_user: &a [*a]\n")
	f.Fuzz(func(t *testing.T, text string) {
		tmpl, err := clusterconfig.Parse("fuzz", text)
		if err != nil {
			return
		}
		cfg, err := tmpl.Render(vars("fuzz"))
		if err == nil && cfg.SSHUser == "" {
			t.Error("rendered a configuration without a user")
		}
	})
}

func TestRayPiece(t *testing.T) {
	files, err := filepath.Glob("../../templates/*.yaml.tmpl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no templates found: %v", err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".yaml.tmpl")
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), `include "ray.piece.tmpl"`) && name != "fluffycloud" {
			continue // a cloud without Ray
		}
		tmpl, err := clusterconfig.Load(templates.FS, "", name)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := tmpl.Render(clusterconfig.Vars{ClusterName: "c", Nodes: 1})
		if err != nil {
			t.Fatal(err)
		}
		conf := cfg.Ray.Conf(clusterconfig.RayNode{Rank: 1, Address: "10.0.0.2", Head: "10.0.0.1", Accelerator: "A100", Count: 0.5})
		port := "gcs_port='6380'\n"
		if cfg.Ray.AnyPorts {
			port = "gcs_port='0'\n"
		}
		for _, want := range []string{"version='2.60.0'\n", "requirements='ray[default]==2.60.0 cryptography>=42'\n", "gpus='1'\n", `resources='{"A100":1}'` + "\n", port} {
			if !strings.Contains(conf, want) {
				t.Errorf("%s: %q lacks %q", name, conf, want)
			}
		}
		script, err := templates.FS.ReadFile("ray.sh")
		if err != nil || cfg.Ray.Script != string(script) {
			t.Errorf("%s: the script is not whole: %v", name, err)
		}
	}
}

func TestPieces(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"own.yaml.tmpl":   "ssh_user: {{ include \"user\" . }}\n",
		"user":            "Not a user",
		"bad.yaml.tmpl":   "ssh_user: me\nsetup: {{ include \"../secret\" . }}\n",
		"none.yaml.tmpl":  "ssh_user: {{ include \"nothing\" . }}\n",
		"ports.yaml.tmpl": "ssh_user: me\nray:\n{{ include \"ray.piece.tmpl\" . | indent 2 }}\n",
		"ray.piece.tmpl":  "version: \"1.2\"\nrequirements: [ray]\ninterpreters: [python3]\nobject_store_bytes: 100000000\nports: {gcs: 70000}\nscript: x\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"own": "ssh_user", "bad": "without a folder", "none": "nothing", "ports": "70000 is no port"} {
		tmpl, err := clusterconfig.Load(templates.FS, dir, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tmpl.Render(clusterconfig.Vars{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Render = %v, want an error with %q", name, err, want)
		}
	}
}
