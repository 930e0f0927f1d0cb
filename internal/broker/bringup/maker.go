// SPDX-License-Identifier: MPL-2.0

package bringup

import (
	"cmp"
	"context"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/spec"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Maker makes bring-ups with what all of them have.
type Maker struct {
	Reach    nodes.Reach
	Clouds   *clouds.Sessions
	Timeouts Timeouts
	// Images resolves an image tag of the catalog; nil takes images as they are.
	Images func(ctx context.Context, cloudName, image, region, arch string) (string, error)
	// Queue is that of all makers of the process; nil is one of the maker's own.
	Queue *Queue
}

// New is a bring-up of nodes of a cluster; the caller fills in its Plan.
func (m Maker) New(ctx context.Context, session cloud.Session, c cluster.Cluster, spec spec.Spec) *BringUp {
	caps, _ := m.Clouds.Capabilities(c.Cloud) // of an unknown cloud there is no session
	m.Timeouts.Boot = caps.BootTime(c.InstanceType, m.Timeouts.Boot)
	launches := time.Duration(max(c.Size, spec.Request.Nodes)) * caps.LaunchEvery
	return &BringUp{
		birthShown: caps.BirthShown, Session: session, Before: c, reach: m.Reach, timeouts: m.Timeouts, now: m.Reach.Now, images: m.Images, spec: spec, deadline: m.deadline(ctx, launches),
		queue: cmp.Or(m.Queue, &Queue{}), launchEvery: caps.LaunchEvery,
		Plan: Plan{Log: m.Reach.Log, Started: m.Reach.Now(), OnShutdown: m.Clouds.OnShutdown(c.Placement().Offer, c.Autostop)},
	}
}

// RanksFrom are the ranks from first to end-1.
func RanksFrom(first, end int) []int {
	var ranks []int
	for r := first; r < end; r++ {
		ranks = append(ranks, r)
	}
	return ranks
}
