// SPDX-License-Identifier: MPL-2.0

package gc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// State is what one Terraform state holds of ours.
type State struct {
	// Source is where it was read from.
	Source   string
	Clusters []HeldCluster
}

// HeldCluster is a cluster in a state.
type HeldCluster struct {
	// Address is the resource's address, such as "sky_cluster.train".
	Address    string
	Cloud      string
	Generation string
	Instances  []string
}

// holds reports whether the state has this machine: by its id or, for a launch
// whose machines could not be named and for complete clusters, by generation;
// one of a growth that is known to have failed by its id alone.
func (h HeldCluster) holds(cloudName string, inst cloud.Instance, failedGrowth bool) bool {
	if h.Cloud != cloudName {
		return false
	}
	return slices.Contains(h.Instances, inst.ID) ||
		(h.Generation == inst.Identity.Generation && ((inst.Committed && !failedGrowth) || len(h.Instances) == 0))
}

// stateVersion is the format of state that Terraform and OpenTofu write.
const stateVersion = 4

// maxState bounds a state file, in bytes.
const maxState = 256 << 20

// stateFile is the part of a state file that matters here.
type stateFile struct {
	Version   int `json:"version"`
	Resources []struct {
		Module    string          `json:"module"`
		Mode      string          `json:"mode"`
		Type      string          `json:"type"`
		Name      string          `json:"name"`
		Instances []stateInstance `json:"instances"`
	} `json:"resources"`
}

type stateInstance struct {
	IndexKey   any    `json:"index_key"`
	Deposed    string `json:"deposed"`
	Attributes struct {
		Cloud      string `json:"cloud"`
		Generation string `json:"generation"`
		Nodes      []struct {
			InstanceID string `json:"instance_id"`
		} `json:"nodes"`
	} `json:"attributes"`
}

// ReadState reads what "terraform state pull" prints. Text that is no state is
// an error, not a state without clusters.
func ReadState(source string, r io.Reader) (State, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxState+1))
	if err != nil {
		return State{}, fmt.Errorf("read the state %s: %w", source, err)
	}
	if len(text) > maxState {
		return State{}, fmt.Errorf("the state %s is longer than %d bytes", source, maxState)
	}
	var file stateFile
	if err := json.Unmarshal(text, &file); err != nil {
		return State{}, fmt.Errorf("%s is not what \"terraform state pull\" prints: %w", source, err)
	}
	if file.Version != stateVersion {
		return State{}, fmt.Errorf("%s is not what \"terraform state pull\" prints: its version is %d, not %d", source, file.Version, stateVersion)
	}
	state := State{Source: source}
	var errs []error
	for _, res := range file.Resources {
		if res.Mode != "managed" || res.Type != "sky_cluster" {
			continue
		}
		for _, inst := range res.Instances {
			held := HeldCluster{Address: inst.address(res.Module, res.Name), Cloud: inst.Attributes.Cloud, Generation: inst.Attributes.Generation}
			for _, n := range inst.Attributes.Nodes {
				if n.InstanceID != "" {
					held.Instances = append(held.Instances, n.InstanceID)
				}
			}
			if held.Cloud == "" || (held.Generation == "" && len(held.Instances) == 0) {
				errs = append(errs, fmt.Errorf("%s in %s does not say which machines it has", held.Address, source))
			}
			state.Clusters = append(state.Clusters, held)
		}
	}
	return state, errors.Join(errs...)
}

func (i stateInstance) address(module, name string) string {
	address := "sky_cluster." + name
	if module != "" {
		address = module + "." + address
	}
	switch key := i.IndexKey.(type) {
	case string:
		address += "[" + strconv.Quote(key) + "]"
	case float64:
		address += "[" + strconv.FormatFloat(key, 'f', -1, 64) + "]"
	}
	if i.Deposed != "" {
		address += " (deposed " + i.Deposed + ")"
	}
	return address
}
