// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"regexp"
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
	var err error
	if s.internalIPs, err = fleet.BoolOption(values, optionInternal); err != nil {
		return s, err //nolint:wrapcheck // it names the option
	}
	if s.selfDelete, err = fleet.BoolOption(values, optionSelfDelete); err != nil {
		return s, err //nolint:wrapcheck // it names the option
	}
	return s, s.check()
}

// of returns s as a cluster's spec overrides it.
func (s settings) of(spec cloud.ClusterSpec) (settings, error) {
	err := fleet.NodeConfig{
		optionNetwork: fleet.Into(&s.network), optionSubnetwork: fleet.Into(&s.subnetwork), optionInternal: fleet.Into(&s.internalIPs),
		optionServiceAccount: fleet.Into(&s.serviceAccount), optionDiskTier: fleet.Into(&s.diskTier), optionSpotAction: fleet.Into(&s.spotAction),
		optionSecureBoot: fleet.IntoPointer(&s.secureBoot), optionMaxRun: fleet.IntoDuration(&s.maxRun),
	}.Decode("GCP", spec.NodeConfig)
	if err != nil {
		return s, err //nolint:wrapcheck // it names the key
	}
	if spec.DiskTier != "" {
		s.diskTier = spec.DiskTier
	}
	return s, s.check()
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
