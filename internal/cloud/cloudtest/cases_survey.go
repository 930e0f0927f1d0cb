// SPDX-License-Identifier: MPL-2.0

package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/guard"
)

// surveyLooks is how often a survey may lack a machine that runs, at one a second.
const surveyLooks = 30

// survey: what the provider made is listed by whose it is and for all owners:
// machines as long as they live, and what was made for them until it is cleaned
// up. What carries no owner id of ours does not.
func survey(ctx context.Context, w *world) error {
	c, machines, err := w.up(ctx, 1, ports(portRange(8080, 8080)))
	if err != nil {
		return err
	}
	n, err := hook[Neighbour](w)
	if err != nil {
		return err
	}
	var foreign [2]string
	for i, kind := range []Foreign{Unmarked, OtherOwner} {
		if foreign[i], err = n.LaunchForeign(ctx, c.at, kind, c.identity(0)); err != nil {
			return fmt.Errorf("launch a machine of %s: %w", kind, err)
		}
		w.undo = append(w.undo, func(ctx context.Context) error { return n.Remove(ctx, foreign[i]) })
	}
	var all []cloud.Thing
	for look := 0; ; look++ { // a list may lag behind
		if all, err = guard.Survey(ctx, w.Provisioner, cloud.ClusterRef{Cloud: c.ref.Cloud}); err != nil {
			return fmt.Errorf("Survey of all owners: %w", err)
		}
		err = errors.Join(surveyed(all, machines[0].ID, c.ref.Owner), surveyed(all, foreign[1], "somebody-else"))
		if err == nil {
			break
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
		if look >= surveyLooks || ctx.Err() != nil {
			return fmt.Errorf("Survey of all owners: %w", err)
		}
	}
	if slices.ContainsFunc(all, func(t cloud.Thing) bool { return t.ID == foreign[0] }) {
		return errors.New("Survey shows a machine without tags of ours")
	}
	return surveyOfOne(ctx, w, c, machines[0].ID)
}

// surveyed reports that the list lacks a machine, or shows it as another's.
func surveyed(all []cloud.Thing, id, owner string) error {
	i := slices.IndexFunc(all, func(t cloud.Thing) bool { return t.Kind == cloud.ThingMachine && t.ID == id })
	if i < 0 {
		return fmt.Errorf("machine %s is not shown", id)
	}
	if t := all[i]; t.Ref.Owner != owner || t.Ref.Generation == "" {
		return fmt.Errorf("machine %s is shown as %+v, want owner %q", id, t.Ref, owner)
	}
	return nil
}

func surveyOfOne(ctx context.Context, w *world, c *cluster, id string) error {
	own := cloud.ClusterRef{Owner: c.ref.Owner, Cluster: c.ref.Cluster, Cloud: c.ref.Cloud}
	look := func(when string, machines int) (others int, err error) {
		all, err := guard.Survey(ctx, w.Provisioner, own)
		if err != nil {
			return 0, fmt.Errorf("Survey %s: %w", when, err)
		}
		for _, t := range all {
			if t.Ref.Owner != c.ref.Owner || t.Ref.Cluster != c.ref.Cluster || t.Ref.Generation != c.ref.Generation || t.ID == "" {
				return 0, fmt.Errorf("Survey %s shows %+v for %+v", when, t, own)
			}
			if t.Kind == cloud.ThingMachine {
				machines--
			} else {
				others++
			}
		}
		if machines != 0 {
			return 0, fmt.Errorf("Survey %s shows %d machines fewer than there are: %+v", when, machines, all)
		}
		return others, nil
	}
	made, err := look("of a living cluster", 1)
	if err != nil {
		return err
	}
	if err := w.Terminate(ctx, c.ref); err != nil {
		return fmt.Errorf("Terminate: %w", err)
	}
	left, err := look("after Terminate", 0)
	if err != nil {
		return err
	}
	now, err := w.count(ctx)
	if err != nil {
		return err
	}
	if groups := now.Firewalls + now.Keys - w.before.Firewalls - w.before.Keys; (groups > 0) != (left > 0) || made < left {
		return fmt.Errorf("Survey shows %d things before and %d after Terminate, where the account holds %+v", made, left, now)
	}
	if err := w.CleanupPorts(ctx, c.ref); err != nil {
		return fmt.Errorf("CleanupPorts: %w", err)
	}
	left, err = look("after CleanupPorts", 0)
	if err == nil && left > 0 {
		err = fmt.Errorf("Survey shows %d things after everything of %s was removed", left, id)
	}
	return err
}
