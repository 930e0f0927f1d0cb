// SPDX-License-Identifier: MPL-2.0

package clusterconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Ray says how Ray is installed and started on the nodes.
type Ray struct {
	// Version is the one that Requirements install and Preinstalled has.
	Version      string   `yaml:"version"`
	Requirements []string `yaml:"requirements"`
	PipOptions   []string `yaml:"pip_options"`
	// Interpreters are tried in this order.
	Interpreters []string `yaml:"interpreters"`
	Preinstalled string   `yaml:"preinstalled"`
	Ports        RayPorts `yaml:"ports"`
	// AnyPorts takes free ports instead, where machines share them.
	AnyPorts         bool  `yaml:"any_ports"`
	ObjectStoreBytes int64 `yaml:"object_store_bytes"`
	// Script installs, starts and ends Ray on a node; see templates/ray.sh.
	Script string `yaml:"script"`
}

// RayPorts are TCP ports between the nodes; 0 is any free one.
type RayPorts struct {
	GCS           int `yaml:"gcs"`
	Dashboard     int `yaml:"dashboard"`
	ObjectManager int `yaml:"object_manager"`
	Agent         int `yaml:"agent"`
	Client        int `yaml:"client"`
}

var (
	rayVersion   = regexp.MustCompile(`^[0-9]+(\.[0-9a-z]+)+$`)
	pythonName   = regexp.MustCompile(`^[A-Za-z0-9._/-]+$`)
	minimalStore = int64(80 << 20) // Ray takes no less
)

func (r Ray) check() error {
	for _, p := range []int{r.Ports.GCS, r.Ports.Dashboard, r.Ports.ObjectManager, r.Ports.Agent, r.Ports.Client} {
		if p < 0 || p > math.MaxUint16 {
			return fmt.Errorf("ray.ports: %d is no port", p)
		}
	}
	for _, name := range r.Interpreters {
		if !pythonName.MatchString(name) {
			return fmt.Errorf("ray.interpreters: %q is no name of a program", name)
		}
	}
	switch {
	case !rayVersion.MatchString(r.Version):
		return fmt.Errorf("ray.version must be a version such as \"2.60.0\", got %q", r.Version)
	case len(r.Requirements) == 0 || len(r.Interpreters) == 0:
		return errors.New("ray needs requirements and interpreters")
	case r.ObjectStoreBytes < minimalStore:
		return fmt.Errorf("ray.object_store_bytes must be %d or more, got %d", minimalStore, r.ObjectStoreBytes)
	}
	return nil
}

// RayNode is what a node's Ray must know.
type RayNode struct {
	Rank int
	// Address is the node's own among the nodes, Head that of rank 0.
	Address, Head string
	// Accelerator and Count are the node's accelerators; a fraction counts as one.
	Accelerator string
	Count       float64
	// CPUs is how many the node offers to jobs; 0 is all it has.
	CPUs int
}

// Conf is what Script reads on a node, as assignments of a shell.
func (r Ray) Conf(n RayNode) string {
	ports := r.Ports
	if r.AnyPorts {
		ports = RayPorts{}
	}
	devices := int(math.Ceil(n.Count))
	resources, gpus := map[string]int{}, devices
	if devices > 0 && n.Accelerator != "" {
		resources[n.Accelerator] = devices
	}
	if strings.HasPrefix(strings.ToLower(n.Accelerator), "tpu") {
		gpus = 0
	}
	text, _ := json.Marshal(resources) //nolint:errchkjson // strings and whole numbers
	cpus := ""
	if n.CPUs > 0 {
		cpus = strconv.Itoa(n.CPUs)
	}
	var b strings.Builder
	for _, kv := range [][2]string{
		{"version", r.Version},
		{"requirements", strings.Join(r.Requirements, " ")},
		{"pip_options", strings.Join(r.PipOptions, " ")},
		{"interpreters", strings.Join(r.Interpreters, " ")},
		{"preinstalled", r.Preinstalled},
		{"rank", strconv.Itoa(n.Rank)},
		{"address", n.Address},
		{"head", n.Head},
		{"gcs_port", strconv.Itoa(ports.GCS)},
		{"dashboard_port", strconv.Itoa(ports.Dashboard)},
		{"object_manager_port", strconv.Itoa(ports.ObjectManager)},
		{"agent_port", strconv.Itoa(ports.Agent)},
		{"client_port", strconv.Itoa(ports.Client)},
		{"object_store_bytes", strconv.FormatInt(r.ObjectStoreBytes, 10)},
		{"cpus", cpus},
		{"gpus", strconv.Itoa(gpus)},
		{"resources", string(text)},
	} {
		b.WriteString(kv[0] + "='" + strings.ReplaceAll(kv[1], "'", `'\''`) + "'\n")
	}
	return b.String()
}
