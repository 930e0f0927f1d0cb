// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// settings are Compute Engine's own part of a cluster: defaults from the
// provider block, overridden by the cluster template's node_config.
type settings struct {
	network, subnetwork string
	internalIPs         bool
	serviceAccount      string
	// selfDelete says that the service account may delete machines.
	selfDelete bool
	diskTier   string
	secureBoot *bool
	// spotAction is what becomes of a preempted spot machine: "delete" or "stop".
	spotAction string
	// maxRun is when Compute Engine deletes a machine, whatever became of it.
	maxRun time.Duration
}

func settingsFromOptions(values map[string]string) (settings, error) {
	s := settings{
		network:        values[optionNetwork],
		subnetwork:     values[optionSubnetwork],
		serviceAccount: values[optionServiceAccount],
	}
	for name, into := range map[string]*bool{optionInternal: &s.internalIPs, optionSelfDelete: &s.selfDelete} {
		v := values[name]
		if v == "" {
			continue
		}
		var err error
		if *into, err = strconv.ParseBool(v); err != nil {
			return s, fleet.ConfigErrorf(cloud.ScopeCloud, "%s is %q: it must be \"true\" or \"false\"", name, v)
		}
	}
	return s, s.check()
}

// of returns s as a cluster's spec overrides it.
func (s settings) of(spec cloud.ClusterSpec) (settings, error) {
	s, err := s.with(spec.NodeConfig)
	if err == nil && spec.DiskTier != "" {
		s.diskTier = spec.DiskTier
		err = s.check()
	}
	return s, err
}

// with returns s overridden by a cluster's node_config.
func (s settings) with(node map[string]any) (settings, error) {
	for _, key := range slices.Sorted(maps.Keys(node)) {
		if err := s.set(key, node[key]); err != nil {
			return s, err
		}
	}
	return s, s.check()
}

func (s *settings) set(key string, v any) error {
	ok := false
	switch key {
	case optionNetwork:
		s.network, ok = v.(string)
	case optionSubnetwork:
		s.subnetwork, ok = v.(string)
	case optionInternal:
		s.internalIPs, ok = v.(bool)
	case optionServiceAccount:
		s.serviceAccount, ok = v.(string)
	case optionDiskTier:
		s.diskTier, ok = v.(string)
	case optionSpotAction:
		s.spotAction, ok = v.(string)
	case optionSecureBoot:
		var on bool
		if on, ok = v.(bool); ok {
			s.secureBoot = &on
		}
	case optionMaxRun:
		var text string
		if text, ok = v.(string); ok {
			var err error
			s.maxRun, err = time.ParseDuration(text)
			ok = err == nil
		}
	default:
		return fleet.ConfigErrorf(cloud.ScopeCloud, "node_config: there is no %q on GCP; there are %s", key, strings.Join(nodeConfigKeys(), ", "))
	}
	if !ok {
		return fleet.ConfigErrorf(cloud.ScopeCloud, "node_config: %s cannot be %v", key, v)
	}
	return nil
}

func nodeConfigKeys() []string {
	return []string{
		optionDiskTier, optionMaxRun, optionNetwork, optionSecureBoot, optionServiceAccount, optionSpotAction, optionSubnetwork, optionInternal,
	}
}

// Compiled at first use: repetitions are dear, and every start of the provider
// would pay for them.
var (
	networkForm = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(projects/[a-z0-9:.-]+/global/networks/)?[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
	})
	subnetworkForm = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(projects/[a-z0-9:.-]+/regions/[a-z0-9-]+/subnetworks/)?[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
	})
)

// The bounds of a limited run.
const (
	minRun = 30 * time.Second
	maxRun = 120 * 24 * time.Hour
)

func (s settings) check() error {
	switch _, known := diskTiers()[s.diskTier]; {
	case s.network != "" && !networkForm().MatchString(s.network):
		return fleet.ConfigErrorf(cloud.ScopeCloud, "network %q is neither a name nor projects/<project>/global/networks/<name>", s.network)
	case s.subnetwork != "" && !subnetworkForm().MatchString(s.subnetwork):
		return fleet.ConfigErrorf(cloud.ScopeCloud, "subnetwork %q is neither a name nor projects/<project>/regions/<region>/subnetworks/<name>", s.subnetwork)
	case s.serviceAccount != "" && !strings.Contains(s.serviceAccount, "@"):
		return fleet.ConfigErrorf(cloud.ScopeCloud, "service_account %q is not an e-mail address", s.serviceAccount)
	case s.selfDelete && s.serviceAccount == "":
		return fleet.ConfigErrorf(cloud.ScopeCloud, "self_delete needs a service_account, with whose token the machines delete themselves")
	case !known:
		return fleet.ConfigErrorf(cloud.ScopeCloud, "disk_tier %q is not known on GCP; there are %s", s.diskTier, strings.Join(diskTierNames(), ", "))
	case s.spotAction != "" && s.spotAction != "delete" && s.spotAction != "stop":
		return fleet.ConfigErrorf(cloud.ScopeCloud, "spot_termination_action is %q: it must be \"delete\" or \"stop\"", s.spotAction)
	case s.maxRun != 0 && (s.maxRun < minRun || s.maxRun > maxRun):
		return fleet.ConfigErrorf(cloud.ScopeCloud, "max_run_duration is %s: Compute Engine takes 30s to 2880h", s.maxRun)
	}
	return nil
}

// checkSpec refuses what cannot work before anything is asked of Google.
func checkSpec(spec cloud.ClusterSpec, at cloud.Placement) error {
	if err := fleet.CheckSpec(Name, spec, at); err != nil {
		return err //nolint:wrapcheck // it says what is wrong
	}
	if regionOf(at.Offer.Zone) != at.Offer.Region {
		return fleet.ConfigErrorf(cloud.ScopeZone, "the placement %s names no zone: machines of GCP are zonal", at)
	}
	if _, err := shapeOf(at.Offer.InstanceType); err != nil {
		return err
	}
	for _, n := range spec.Nodes {
		if len(n.UserData) > maxMetadata {
			return fleet.ConfigErrorf(cloud.ScopeCloud, "the user data has %d bytes; GCP takes %d: move work from the cluster template's user_data to setup, which has no limit",
				len(n.UserData), maxMetadata)
		}
	}
	return checkLabels(spec.Labels)
}

func checkLabels(labels map[string]string) error {
	if len(labels) > maxUserLabels {
		return fleet.ConfigErrorf(cloud.ScopeCloud, "there are %d labels; GCP has room for %d", len(labels), maxUserLabels)
	}
	if _, rest := userLabels(labels); len(rest) > maxMetadata {
		return fleet.ConfigErrorf(cloud.ScopeCloud, "the labels have %d bytes beyond what labels of GCP can hold; there is room for %d", len(rest), maxMetadata)
	}
	return nil
}
