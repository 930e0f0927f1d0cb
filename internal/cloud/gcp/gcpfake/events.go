// SPDX-License-Identifier: MPL-2.0

package gcpfake

import "fmt"

// Preempt takes a spot machine back: it stops, or goes, as its scheduling says.
func (c *Cloud) Preempt(id string) error {
	c.Lock()
	defer c.Unlock()
	in := c.byID(id)
	if in == nil || in.Scheduling == nil || in.Scheduling.ProvisioningModel != "SPOT" {
		return fmt.Errorf("no spot machine %s", id)
	}
	c.event(in, "compute.instances.preempted", "system")
	c.endBySchedule(in)
	return nil
}

// event notes what happened to a machine that no call asked for.
func (c *Cloud) event(in *instance, kind, user string) {
	op := c.newOperation(kind, in.Zone, in.SelfLink, in.Id, nil)
	op.Status, op.ends, op.User = "DONE", c.Now(), user
}

// FailHost stops a machine as a failure of its host does, when it is not to
// restart.
func (c *Cloud) FailHost(id string) error {
	c.Lock()
	defer c.Unlock()
	in := c.byID(id)
	if in == nil || in.Status != "RUNNING" {
		return fmt.Errorf("no machine %s runs", id)
	}
	c.event(in, "compute.instances.hostError", "system")
	c.halt(in)
	return nil
}

// PowerOff is what a machine's own shutdown does: it stops.
func (c *Cloud) PowerOff(id string) error {
	c.Lock()
	defer c.Unlock()
	in := c.byID(id)
	if in == nil || in.Status != "RUNNING" {
		return fmt.Errorf("no machine %s runs", id)
	}
	c.event(in, "compute.instances.guestTerminate", "system")
	c.halt(in)
	return nil
}

// Suspend lets a machine sleep, as somebody may do by hand.
func (c *Cloud) Suspend(id string) error {
	c.Lock()
	defer c.Unlock()
	in := c.byID(id)
	if in == nil || in.Status != "RUNNING" {
		return fmt.Errorf("no machine %s runs", id)
	}
	c.halt(in)
	in.Status = "SUSPENDED"
	return nil
}
