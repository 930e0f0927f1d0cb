// SPDX-License-Identifier: MPL-2.0

package gcpfake

import (
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/api/compute/v1"
)

// machineType is what the fake sells.
type machineType struct {
	cpus, gpus int64
	hyperdisk  bool // takes nothing else
}

func types() map[string]machineType {
	return map[string]machineType{
		"e2-small": {cpus: 2}, "n2-standard-4": {cpus: 4}, "n4-standard-2": {cpus: 2, hyperdisk: true},
		"n1-standard-1": {cpus: 1}, "n1-standard-4": {cpus: 4}, "n1-standard-8": {cpus: 8},
		"g2-standard-4": {cpus: 4, gpus: 1}, "a2-highgpu-1g": {cpus: 12, gpus: 1},
	}
}

func zones() []string {
	return []string{"us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f", "europe-west4-a"}
}

// images by project: families, and names.
func images() map[string][]string {
	return map[string][]string{
		"ubuntu-os-cloud":              {"ubuntu-2404-lts-amd64", "ubuntu-2404-lts-arm64"},
		"ubuntu-os-accelerator-images": {"ubuntu-accelerator-2404-amd64-with-nvidia-580"},
		"deeplearning-platform-release": {
			"common-cpu",
		},
	}
}

// checkInstance refuses what the document allows and Compute Engine does not.
func (c *Cloud) checkInstance(in *compute.Instance, zone string) error {
	if !slices.Contains(zones(), zone) {
		return invalid("'zone': '%s'. Unknown zone.", zone)
	}
	for _, have := range c.instances {
		if have.Name == in.Name && last(have.Zone) == zone {
			return refuse(http.StatusConflict, "alreadyExists", "The resource 'projects/%s/zones/%s/instances/%s' already exists", Project, zone, in.Name)
		}
	}
	t, sold := types()[last(in.MachineType)]
	if !sold || in.MachineType != "zones/"+zone+"/machineTypes/"+last(in.MachineType) {
		return invalid("'resource.machineType': '%s'. The referenced resource does not exist.", in.MachineType)
	}
	if refusal := checkLabels(in.Labels); refusal != nil {
		return refusal
	}
	if refusal := checkMetadata(in.Metadata); refusal != nil {
		return refusal
	}
	if refusal := checkDisks(in, t, zone); refusal != nil {
		return refusal
	}
	if refusal := checkNetworks(in); refusal != nil {
		return refusal
	}
	return checkScheduling(in, t)
}

func checkLabels(labels map[string]string) error {
	if len(labels) > 64 {
		return invalid("'resource.labels': '%d'. Must be at most 64", len(labels))
	}
	for k, v := range labels {
		if !labelKey.MatchString(k) || !labelValue.MatchString(v) {
			return invalid("'resource.labels': '%s=%s'. Label is not valid", k, v)
		}
	}
	return nil
}

func checkMetadata(m *compute.Metadata) error {
	if m == nil {
		return nil
	}
	total, seen := 0, map[string]bool{}
	for _, item := range m.Items {
		if !metaKey.MatchString(item.Key) || item.Value == nil || seen[item.Key] || len(*item.Value) > 256<<10 {
			return invalid("'resource.metadata.items': '%s'", item.Key)
		}
		seen[item.Key] = true
		total += len(*item.Value)
	}
	if total > 512<<10 {
		return invalid("'resource.metadata': too large")
	}
	return nil
}

func checkDisks(in *compute.Instance, t machineType, zone string) error {
	if len(in.Disks) != 1 || !in.Disks[0].Boot || in.Disks[0].InitializeParams == nil {
		return invalid("'resource.disks': 'one boot disk is needed'")
	}
	p := in.Disks[0].InitializeParams
	kind := last(p.DiskType)
	if p.DiskType != "zones/"+zone+"/diskTypes/"+kind || t.hyperdisk != strings.HasPrefix(kind, "hyperdisk-") {
		return invalid("'resource.disks[0].initializeParams.diskType': '%s'. %s cannot be used with it", p.DiskType, in.MachineType)
	}
	if !strings.HasPrefix(p.SourceImage, "projects/") || p.DiskSizeGb < 10 {
		return invalid("'resource.disks[0].initializeParams': '%s', %d GB", p.SourceImage, p.DiskSizeGb)
	}
	return checkLabels(p.Labels)
}

func checkNetworks(in *compute.Instance) error {
	for _, nic := range in.NetworkInterfaces {
		if name := last(nic.Network); name != "default" && name != "custom" && nic.Subnetwork == "" {
			return invalid("'resource.networkInterfaces[0].network': '%s'. The referenced resource does not exist.", nic.Network)
		} else if name == "custom" && nic.Subnetwork == "" {
			return invalid("'resource.networkInterfaces[0]': the network needs a subnetwork")
		}
	}
	if len(in.NetworkInterfaces) != 1 {
		return invalid("'resource.networkInterfaces': one is needed")
	}
	return nil
}

func checkScheduling(in *compute.Instance, t machineType) error {
	s := in.Scheduling
	if s == nil {
		s = &compute.Scheduling{}
	}
	spot := s.ProvisioningModel == "SPOT"
	restarts := s.AutomaticRestart == nil || *s.AutomaticRestart
	switch {
	case (t.gpus > 0 || len(in.GuestAccelerators) > 0) && s.OnHostMaintenance != "TERMINATE":
		return invalid("'resource.scheduling.onHostMaintenance': Instances with guest accelerators do not support live migration.")
	case spot && (s.OnHostMaintenance != "TERMINATE" || restarts):
		return invalid("'resource.scheduling': Spot VMs end at host maintenance and do not restart.")
	case s.InstanceTerminationAction != "" && !spot && s.MaxRunDuration == nil:
		return invalid("'resource.scheduling.instanceTerminationAction': only for Spot VMs and those with a limited run time")
	case t.gpus > 0 && len(in.GuestAccelerators) > 0:
		return invalid("'resource.guestAccelerators': %s has its accelerators built in", in.MachineType)
	case len(in.GuestAccelerators) > 0 && !strings.HasPrefix(last(in.MachineType), "n1-"):
		return invalid("'resource.guestAccelerators': [%s] features are not compatible with %s", in.GuestAccelerators[0].AcceleratorType, in.MachineType)
	}
	return nil
}

// checkFirewall: a rule has addresses of one version of IP.
func checkFirewall(f *compute.Firewall) error {
	versions := map[bool]bool{}
	for _, text := range f.SourceRanges {
		p, err := netip.ParsePrefix(text)
		if err != nil || p != p.Masked() {
			return invalid("'resource.sourceRanges': '%s'. Must be a network", text)
		}
		versions[p.Addr().Is4()] = true
	}
	switch {
	case len(versions) > 1:
		return invalid("'resource.sourceRanges': IPv4 and IPv6 cannot be mixed")
	case len(f.SourceRanges)+len(f.SourceTags) == 0:
		return invalid("'resource.sourceRanges': the rule would be open to the whole world")
	case len(f.Description) > 2048 || len(f.TargetTags) == 0 || len(f.Allowed) == 0:
		return invalid("'resource': a rule of the cluster's own is expected")
	}
	return nil
}

var (
	condition = regexp.MustCompile(`^([a-zA-Z.]+(?:\.[a-z0-9_-]+)?) (=|eq|ne|!=) (?:"([^"]*)"|([^" ()]+))$`)
	exists    = regexp.MustCompile(`^labels\.([a-z0-9_-]+):\*$`)
	outer     = regexp.MustCompile(`\(([^()]*)\)`)
)

// parseFilter reads conditions in parentheses, joined by AND or nothing, or one
// bare condition, whose eq compares with a regular expression. labels.key:* is
// every thing that has the label.
func parseFilter(text string) (func(fields, labels map[string]string) bool, error) {
	if text == "" {
		return func(_, _ map[string]string) bool { return true }, nil
	}
	bad := invalid("'filter': '%s'. Invalid list filter expression.", text)
	parts := []string{text}
	if strings.HasPrefix(text, "(") {
		parts = nil
		for _, found := range outer.FindAllStringSubmatch(text, -1) {
			parts = append(parts, found[1])
		}
		if rest := strings.ReplaceAll(outer.ReplaceAllString(text, ""), "AND", ""); strings.TrimSpace(rest) != "" {
			return nil, bad
		}
	}
	var tests []filterTest
	for _, p := range parts {
		if label := exists.FindStringSubmatch(p); label != nil {
			tests = append(tests, filterTest{field: "labels." + label[1], form: regexp.MustCompile("")})
			continue
		}
		found := condition.FindStringSubmatch(p)
		if found == nil || found[2] == "ne" || found[2] == "!=" {
			return nil, bad
		}
		one := filterTest{field: found[1], want: found[3] + found[4]}
		if found[2] == "eq" {
			var err error
			if one.form, err = regexp.Compile("^(?:" + one.want + ")$"); err != nil || len(parts) > 1 {
				return nil, bad
			}
		}
		tests = append(tests, one)
	}
	return func(fields, labels map[string]string) bool {
		return !slices.ContainsFunc(tests, func(one filterTest) bool { return !one.passes(fields, labels) })
	}, nil
}

// filterTest is one condition of a filter.
type filterTest struct {
	field, want string
	form        *regexp.Regexp
}

func (one filterTest) passes(fields, labels map[string]string) bool {
	got, ok := fields[one.field]
	if key, isLabel := strings.CutPrefix(one.field, "labels."); isLabel {
		got, ok = labels[key]
	}
	return ok && (one.form != nil || got == one.want) && (one.form == nil || one.form.MatchString(got))
}
