// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// simWorld is a cloud as simTerraform sees it: how a process opens it, and the truth.
type simWorld interface {
	// open is the provider's way to the cloud and to its machines, for one process.
	open(p *memcloud.Process) (cloud.Factory, cloud.Credentials, simDial)
	// Of are an owner's living machines.
	Of(owner string) []cloud.Instance
	// left is what there is of an owner beside machines.
	left(owner string) []string
	// Mistake reports whether the cloud made a machine that nobody was told of.
	Mistake(id string) bool
	// listed reports whether lists show a machine.
	listed(id string) bool
	// heal ends all trouble; under the lock it calls also.
	heal(also func())
	// made is how many machines were launched, and which of them beside a living one.
	made() (launched int, duplicates []string)
}

type simDial func(context.Context, remote.Target) (nodes.Node, error)

// memWorld is the cloud in memory.
type memWorld struct {
	*memcloud.Cloud
	x *simTerraform
}

func (w memWorld) open(p *memcloud.Process) (cloud.Factory, cloud.Credentials, simDial) {
	driver := &memcloud.Driver{Cloud: w.Cloud, Process: p, Owner: simOwner, Cluster: simName, Forgetful: true}
	return memcloud.Factory{Cloud: w.Cloud, Driver: func() *memcloud.Driver { return driver }}, cloud.Credentials{},
		func(ctx context.Context, target remote.Target) (nodes.Node, error) {
			return w.x.dial(ctx, driver, target)
		}
}

func (w memWorld) left(owner string) (all []string) {
	for _, g := range w.GroupsOf(owner) {
		all = append(all, fmt.Sprintf("%+v", g))
	}
	return all
}

func (w memWorld) listed(id string) bool {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	m := w.Find(id)
	return m != nil && !time.Now().Before(m.Visible)
}

func (w memWorld) heal(also func()) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	also()
	w.Faults, w.Expired = nil, false
}

func (w memWorld) made() (int, []string) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	return w.Launched, w.Duplicates
}
