// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// Names of what Bootstrap finds or makes.
const (
	resourceImage    = "image"
	resourceFirewall = "firewall_id"
	resourceSSHKeys  = "ssh_key_ids"
)

const (
	defaultCPUImage = "img-cumulus-2404"
	defaultGPUImage = "img-nimbus-2404"
	// sshPort is where machines listen for SSH.
	sshPort = 2222
)

// Bootstrap implements cloud.Provisioner: it finds the image, and finds or
// makes the cluster's SSH keys and the cluster's firewall in the region.
func (d *driver) Bootstrap(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	if err := fleet.CheckSpec(Name, spec, at); err != nil {
		return cloud.RunConfig{}, err //nolint:wrapcheck // it says what is wrong
	}
	img, err := d.image(ctx, spec.Image, at.Offer.InstanceType)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	if len(spec.AllowedCIDRs) == 0 {
		spec.AllowedCIDRs = thisComputer()
	}
	keys, err := d.ensureSSHKeys(ctx, spec)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	fw, err := d.ensureFirewall(ctx, spec, at.Offer.Region)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	return cloud.RunConfig{
		Spec:      spec,
		Placement: at,
		Resources: map[string]string{
			resourceImage:    img.ID,
			resourceFirewall: fw,
			resourceSSHKeys:  strings.Join(keys, ","),
		},
	}, nil
}

// image finds an image by id or catalog tag; without either it is the default.
func (d *driver) image(ctx context.Context, want string, forType cloud.InstanceType) (image, error) {
	images, err := d.c.images(ctx)
	if err != nil {
		return image{}, fmt.Errorf("list images: %w", err)
	}
	if want == "" {
		want = defaultCPUImage
		if !forType.Accelerator.IsZero() {
			want = defaultGPUImage
		}
	}
	var names []string
	for _, img := range images {
		if img.ID == want || slices.Contains(img.Tags, want) {
			return img, nil
		}
		names = append(names, img.ID)
	}
	return image{}, fleet.ConfigErrorf(cloud.ScopeCloud, "there is no image %q; there are %s", want, strings.Join(names, ", "))
}

func (d *driver) ensureSSHKeys(ctx context.Context, spec cloud.ClusterSpec) ([]string, error) {
	ids := make([]string, 0, len(spec.AuthorizedKeys))
	for _, line := range spec.AuthorizedKeys {
		id, err := d.ensureSSHKey(ctx, spec.Ref, strings.TrimSpace(line))
		if err != nil {
			return nil, fmt.Errorf("SSH key: %w", err)
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// ensureSSHKey creates before it looks: a conflict, or a lost answer to a
// create that worked, then ends in the same look.
func (d *driver) ensureSSHKey(ctx context.Context, ref cloud.ClusterRef, line string) (string, error) {
	want := sshKey{Name: ref.Name(maxNameLength, line), PublicKey: line, Tags: ref.Tags()}
	err := d.c.createSSHKey(ctx, want)
	if err != nil && !hasCode(err, codeConflict) {
		return "", fmt.Errorf("create %s: %w", want.Name, err)
	}
	keys, err := d.c.sshKeys(ctx)
	if err != nil {
		return "", fmt.Errorf("list: %w", err)
	}
	i := slices.IndexFunc(keys, func(k sshKey) bool { return k.Name == want.Name })
	if i < 0 {
		return "", fmt.Errorf("%s was created but is not listed", want.Name)
	}
	if !ref.Owns(keys[i].Tags) || strings.TrimSpace(keys[i].PublicKey) != line {
		return "", fleet.ConfigErrorf(cloud.ScopeCloud, "an SSH key named %s exists and is not this cluster's", want.Name)
	}
	return keys[i].ID, nil
}

func (d *driver) ensureFirewall(ctx context.Context, spec cloud.ClusterSpec, region string) (string, error) {
	want := firewall{
		Name:   spec.Ref.Name(maxNameLength, "firewall"),
		Region: region,
		Tags:   spec.Ref.Tags(),
		Rules:  rules(spec.AllowedCIDRs, spec.Ports),
	}
	find := func() (firewall, bool, error) {
		all, err := d.c.firewalls(ctx)
		if err != nil {
			return firewall{}, false, fmt.Errorf("list firewalls: %w", err)
		}
		i := slices.IndexFunc(all, func(f firewall) bool { return f.Name == want.Name && f.Region == region })
		if i < 0 {
			return firewall{}, false, nil
		}
		if !spec.Ref.Owns(all[i].Tags) {
			return firewall{}, false, fleet.ConfigErrorf(cloud.ScopeCloud, "a firewall named %s exists and is not this cluster's", want.Name)
		}
		return all[i], true, nil
	}
	have, ok, err := find()
	if err != nil {
		return "", err
	}
	if !ok {
		if err := d.c.createFirewall(ctx, want); err != nil && !hasCode(err, codeConflict) {
			return "", fmt.Errorf("create firewall %s: %w", want.Name, err)
		}
		if have, ok, err = find(); err != nil {
			return "", err
		}
		if !ok {
			return "", errors.New("firewall " + want.Name + " was created but is not listed")
		}
	}
	return have.ID, d.refreshRules(ctx, have, spec)
}

// refreshRules brings the prefixes up to date and adds the spec's ports. It
// closes nothing: that is for OpenPorts.
func (d *driver) refreshRules(ctx context.Context, have firewall, spec cloud.ClusterSpec) error {
	ports := slices.Clone(spec.Ports)
	for _, r := range have.Rules {
		p := cloud.PortRange{First: r.FromPort, Last: r.ToPort}
		if !isSSHRule(r) && !slices.Contains(ports, p) {
			ports = append(ports, p)
		}
	}
	want := rules(spec.AllowedCIDRs, ports)
	if reflect.DeepEqual(want, have.Rules) {
		return nil
	}
	return d.setRules(ctx, have, want)
}

// thisComputer is as what the machines see the caller: they are on loopback.
func thisComputer() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

// rules opens SSH and the ports to the prefixes; without prefixes, to this
// machine only.
func rules(prefixes []netip.Prefix, ports []cloud.PortRange) []rule {
	if len(prefixes) == 0 {
		prefixes = thisComputer()
	}
	cidrs := make([]string, 0, len(prefixes))
	for _, p := range prefixes {
		cidrs = append(cidrs, p.String())
	}
	out := []rule{{FromPort: sshPort, ToPort: sshPort, CIDRs: cidrs}}
	sorted := slices.Clone(ports)
	slices.SortFunc(sorted, func(a, b cloud.PortRange) int {
		return int(a.First)<<16 + int(a.Last) - int(b.First)<<16 - int(b.Last)
	})
	for _, p := range slices.Compact(sorted) {
		r := rule{FromPort: p.First, ToPort: p.Last, CIDRs: cidrs}
		if !isSSHRule(r) {
			out = append(out, r)
		}
	}
	return out
}

func isSSHRule(r rule) bool { return r.FromPort == sshPort && r.ToPort == sshPort }

// found is what Bootstrap found or made.
func found(cfg cloud.RunConfig) map[string]string {
	res, _ := cfg.Resources.(map[string]string)
	return res
}
