// SPDX-License-Identifier: MPL-2.0

// Package clusterconfig renders a cloud's cluster template into a typed
// cluster configuration. A user's own template overrides the embedded one.
package clusterconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"text/template"

	"github.com/goccy/go-yaml"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/localfile"
	"github.com/skybroker/terraform-provider-sky/internal/safeyaml"
)

// HostKey is the SSH host key that a node is born with. Private is PEM; it is
// a secret and reaches the node through user data only.
type HostKey struct {
	Private string
	Public  string
}

// Vars is what a template may use.
type Vars struct {
	ClusterName    string
	Cloud          string
	Region         string
	Zone           string
	InstanceType   string
	Accelerator    cloud.Accelerator
	Image          string
	Nodes          int
	Rank           int
	AuthorizedKeys []string
	HostKey        HostKey
}

// ProcessManager says how jobs are detached on a node.
type ProcessManager string

// The process managers. Auto uses systemd where it is the machine's init.
const (
	ProcessAuto   ProcessManager = "auto"
	ProcessSetsid ProcessManager = "setsid"
)

// Config is a rendered template.
type Config struct {
	// SSHUser logs in; it is required.
	SSHUser        string         `yaml:"ssh_user"`
	ProcessManager ProcessManager `yaml:"process_manager"`
	// NodeConfig goes to the driver as it is.
	NodeConfig map[string]any `yaml:"node_config"`
	// UserData is run by the machine at first boot, or is the command of a container;
	// empty is none.
	UserData string `yaml:"user_data"`
	// RenewHostKey is shell run on a machine, as SSHUser, that makes another host key,
	// has the SSH server take it, and prints its public half. It is run at first
	// contact where others may know the key that the machine was born with.
	RenewHostKey string `yaml:"renew_host_key"`
	// Setup is shell run on every node before the user's own setup.
	Setup string `yaml:"setup"`
	// Tools are commands that every machine has which many images lack, such as uv
	// and conda. The plan warns of a setup that takes others for granted.
	Tools []string `yaml:"tools"`
	// SelfStop and SelfTerminate are shell run on a machine, as SSHUser, to stop
	// or to remove that machine; empty where it cannot. They must not need the
	// user's credentials, and may return before the machine has ended.
	SelfStop      string `yaml:"self_stop"`
	SelfTerminate string `yaml:"self_terminate"`
	// SSHSessions is shell that prints a line for each open SSH session of the
	// machine it runs on; empty looks for the processes of OpenSSH.
	SSHSessions string `yaml:"ssh_sessions"`
	// Ray says how the runtime "ray" gets onto the nodes.
	Ray Ray `yaml:"ray"`
}

// Template is a parsed template.
type Template struct {
	name string
	tmpl *template.Template
	from includer
}

// Load returns the template of a cloud: dir/<cloud>.yaml.tmpl where dir is set
// and holds one, else the embedded one. A broken one is an error with its line.
func Load(embedded fs.FS, dir, cloudName string) (*Template, error) {
	file := cloudName + ".yaml.tmpl"
	if dir != "" {
		path := filepath.Join(dir, file)
		text, err := localfile.Read(path, maxTemplate)
		if err == nil {
			return parse(path, string(text), includer{embedded, dir})
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cluster template: %w", err)
		}
	}
	text, err := fs.ReadFile(embedded, file)
	if err != nil {
		return nil, fmt.Errorf("cloud %q has no cluster template: %w", cloudName, err)
	}
	return parse(file, string(text), includer{embedded, dir})
}

// Parse parses a template that includes nothing; name appears in errors.
func Parse(name, text string) (*Template, error) {
	return parse(name, text, includer{})
}

func parse(name, text string, from includer) (*Template, error) {
	tmpl, err := template.New(filepath.Base(name)).Option("missingkey=error").Funcs(template.FuncMap{
		"include": from.include, // replaced when it is rendered
		"indent":  indent,
		"quote":   strconv.Quote,
		"printf":  printf,
	}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("cluster template %s: %w", name, err)
	}
	return &Template{name: name, tmpl: tmpl, from: from}, nil
}

// maxRendered bounds a rendered template in bytes; user data is smaller still
// on every cloud.
const maxRendered = 1 << 20

// Render fills the template in. Errors name the template, and line and field
// where one is to blame; they never hold the rendered text, which has keys in it.
func (t *Template) Render(vars Vars) (Config, error) {
	b, err := t.fill(vars, &inclusion{includer: t.from})
	if err != nil {
		return Config{}, fmt.Errorf("cluster template %s: %w", t.name, err)
	}
	var cfg Config
	if err := safeyaml.Unmarshal([]byte(b), &cfg, yaml.Strict()); err != nil {
		return Config{}, fmt.Errorf("cluster template %s, as rendered: %s", t.name, withoutSource(err))
	}
	return cfg, cfg.validate(t.name)
}

// withoutSource returns the first line of a YAML error, "[line:column] what",
// in words. The lines after it quote the source, and the source has keys in it.
func withoutSource(err error) string {
	first, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
	if m := yamlPosition.FindStringSubmatch(first); m != nil {
		return fmt.Sprintf("line %s, column %s: %s", m[1], m[2], m[3])
	}
	return first
}

var yamlPosition = regexp.MustCompile(`^\[(\d+):(\d+)\] (.*)$`)

var userName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`) })

func (c *Config) validate(name string) error {
	if c.ProcessManager == "" {
		c.ProcessManager = ProcessAuto
	}
	switch {
	case !userName().MatchString(c.SSHUser):
		return fmt.Errorf("cluster template %s: ssh_user must be a Unix user name such as \"ubuntu\", got %q", name, c.SSHUser)
	case c.ProcessManager != ProcessAuto && c.ProcessManager != ProcessSetsid:
		return fmt.Errorf("cluster template %s: process_manager must be %q or %q, got %q", name, ProcessAuto, ProcessSetsid, c.ProcessManager)
	case c.Ray.Script != "" && c.Ray.check() != nil:
		return fmt.Errorf("cluster template %s: %w", name, c.Ray.check())
	case strings.ContainsRune(c.UserData, 0):
		return fmt.Errorf("cluster template %s: user_data holds a NUL byte", name)
	}
	return nil
}
