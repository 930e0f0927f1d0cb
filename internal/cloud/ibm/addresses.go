// SPDX-License-Identifier: MPL-2.0

package ibm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// address is a floating address: a thing of its own, which is paid for and outlives
// the machine that it leads to.
type address struct {
	ID, Name, Status string
	IP               string    `json:"address"`
	CreatedAt        time.Time `json:"created_at"`
	Zone             byName
	// Target is what it leads to, nil where that is nothing.
	Target *target
}

// reachable is the address that leads to an interface, empty for none.
func reachable(all []address, nic string) string {
	for _, a := range all {
		if a.Target != nil && a.Target.ID == nic && nic != "" && a.Status == ready {
			return a.IP
		}
	}
	return ""
}

// addressesOf are those that lead to an interface, as it says itself.
func (d *driver) addressesOf(ctx context.Context, region, nic string) ([]address, error) {
	if nic == "" {
		return nil, nil
	}
	all, err := listedAt[address](ctx, d.c, region, "/virtual_network_interfaces/"+nic+"/floating_ips", "floating_ips")
	if errors.Is(err, cloud.ErrNotFound) {
		return nil, nil
	}
	for i := range all { // here they are references, which lead there
		all[i].Target = &target{ID: nic}
		if all[i].Status == "" {
			all[i].Status = ready
		}
	}
	return all, err
}

// addressTries bounds how often an address is asked for: IBM may refuse it for a
// while after a machine was made.
const addressTries = 12

// Run implements cloud.Provisioner. Once the machines are there they get addresses,
// also those that lost theirs.
func (d *driver) Run(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig) (cloud.RunRecord, error) {
	record, err := d.Fleet.Run(ctx, ref, cfg)
	if err == nil {
		ref.Instances = slices.Concat(record.Created, record.Resumed, record.Adopted)
		err = d.giveAddresses(ctx, ref)
	}
	return record, err //nolint:wrapcheck // it says what was tried
}

// giveAddresses sees that each machine that runs, or is to, has an address. What a
// machine that failed says of it is for Wait.
func (d *driver) giveAddresses(ctx context.Context, ref cloud.ClusterRef) error {
	given, tries := map[string]bool{}, d.Poll
	tries.Attempts = addressTries
	err := retry.Poll(ctx, tries, func(ctx context.Context) (bool, error) {
		found, err := d.Look(ctx, ref)
		if err != nil {
			return false, err //nolint:wrapcheck // it says what was looked for
		}
		lacking := slices.DeleteFunc(found.Staying(), func(m machine) bool {
			return given[m.ID] || m.ExternalIP != "" || (m.State != cloud.StatePending && m.State != cloud.StateRunning)
		})
		for _, m := range lacking {
			switch aerr := d.giveAddress(ctx, m); {
			case aerr == nil:
				given[m.ID] = true
			case d.hopeless(aerr):
				return false, retry.Stop(aerr)
			default:
				err = errors.Join(err, aerr)
			}
		}
		return err == nil && len(found.Unlisted) == 0, err
	})
	return err
}

// hopeless reports that an address will not come by asking again.
func (d *driver) hopeless(err error) bool {
	kind := d.Classify(err).Kind
	return kind == cloud.KindQuota || kind == cloud.KindAuth
}

// giveAddress makes the machine's address, or ties the one that has its name to it.
func (d *driver) giveAddress(ctx context.Context, m machine) error {
	name := addressName(m.Identity)
	err := d.c.do(ctx, m.Region, http.MethodPost, "/floating_ips", nil, d.grouped(object{"name": name, "target": object{"id": m.Native.nic}}), nil)
	if err == nil || d.hopeless(err) {
		return wrapAddress(m, err)
	}
	// Another session may have been faster, the answer of an earlier try may have been
	// lost, or the address was made and not tied.
	held, herr := d.addressesOf(ctx, m.Region, m.Native.nic)
	if herr == nil && len(held) > 0 {
		return nil
	}
	all, lerr := listed[address](ctx, d.c, m.Region, "floating_ips", nil)
	i := slices.IndexFunc(all, func(a address) bool { return a.Name == name })
	switch {
	case lerr != nil || i < 0:
		return wrapAddress(m, errors.Join(err, lerr))
	case all[i].Target != nil && all[i].Target.ID != m.Native.nic:
		return wrapAddress(m, fleet.ConfigErrorf(cloud.ScopeZone, "the one that is named %s leads elsewhere", name))
	case all[i].Target != nil:
		return nil
	}
	return wrapAddress(m, d.c.do(ctx, m.Region, http.MethodPut, "/virtual_network_interfaces/"+m.Native.nic+"/floating_ips/"+all[i].ID, nil, nil, nil))
}

func wrapAddress(m machine, err error) error {
	if err != nil {
		return fmt.Errorf("make the floating address of machine %s: %w", m, err)
	}
	return nil
}
