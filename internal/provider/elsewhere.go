// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
)

// inAutomation reports whether this run is one of many computers' in turn.
func (s settings) inAutomation() bool {
	return truthy(s.getenv("CI")) || s.getenv("TF_IN_AUTOMATION") != "" || s.getenv("TFC_RUN_ID") != ""
}

// warnOfElsewhere says, once, what the next computer could not do with a cluster
// that this run is to launch, and what would let it.
func (d *providerData) warnOfElsewhere(diags *diag.Diagnostics) {
	if !d.inAutomation() {
		return
	}
	var cannot, set []string
	if d.ownerSet() == "" {
		cannot = append(cannot, "find what a run that was cut off left, nor a cluster by its name or id")
		set = append(set, "owner (or SKY_OWNER)")
	}
	if !d.hasOwnKey() {
		cannot = append(cannot, "log in to the machines (jobs, their logs, setup, uploads, more nodes)")
		set = append(set, "ssh_private_key (or "+keyVariable+")")
	}
	if len(set) == 0 || !d.warned.first("elsewhere") {
		return
	}
	diags.AddWarning("The next run may be on another computer",
		"Without the state folder of this one it could not "+strings.Join(cannot, ", nor ")+".\n"+
			"Set "+strings.Join(set, " and ")+" in the provider block, to the same in every run, and allowed_cidrs to where the runs come from.")
}

// first reports whether the name was not there yet, and adds it.
func (n *names) first(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if slices.Contains(n.all, name) {
		return false
	}
	n.all = append(n.all, name)
	return true
}

// priorClusters are the clusters that a plan has seen in state, by generation.
// Terraform plans a replacement as a change of what is there first, and then as a
// creation that knows nothing of it.
type priorClusters struct {
	mu  sync.Mutex
	all map[string]broker.Cluster
}

func (p *priorClusters) add(c broker.Cluster) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[string]broker.Cluster{}
	}
	p.all[c.Generation] = c
}

func (p *priorClusters) named(name string) []broker.Cluster {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []broker.Cluster
	for _, c := range p.all {
		if c.Name == name {
			out = append(out, c)
		}
	}
	return out
}

// noteReplacement tells the broker which clusters of that name the plan replaces.
func (d *providerData) noteReplacement(ctx context.Context, name string) error {
	held := d.prior.named(name)
	b := d.openedBroker()
	if b == nil && len(held) > 0 && d.unknown == "" {
		var err error
		if b, err = d.broker(); err != nil {
			return err
		}
	}
	if b == nil {
		return nil
	}
	return b.NoteReplacement(ctx, name, held...)
}
