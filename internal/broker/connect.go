// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"

	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// connectAndSetUp dials every node and sets all up, over one connection a node.
func (a *attempt) connectAndSetUp(ctx context.Context, _ cloud.Session) error {
	dialled, end := nodes.Begin(ctx, a.log, a.cfg.Now, nodes.Phase{From: 55, To: 65, Waiting: "every node to answer over SSH", Bound: a.cfg.Timeouts.SSH}, a.cluster.Size)
	clients, err := a.reach().DialNodes(ctx, a.cluster, dialled)
	if end(); err != nil {
		return a.unreachable(ctx, err)
	}
	defer nodes.CloseAll(clients)
	a.reached, a.step = true, "setup"
	prepare := a.config.Setup
	err = a.reach().SetUpNodes(ctx, a.log, clients, a.cluster, a.spec.work(prepare))
	var setup *nodes.SetupError
	if keep := a.spec.OnSetupFailure == SetupFailureKeep && errors.As(err, &setup); a.spec.Autostop != nil && (err == nil || keep) {
		a.step = "autostop"
		if aerr := nodes.OverLinks(ctx, func() error { return a.reach().Arm(ctx, a.log, clients, a.cluster) }); aerr != nil {
			return a.unreachable(ctx, errors.Join(aerr, err))
		}
	}
	if setup == nil && err != nil {
		return a.unreachable(ctx, err)
	}
	if setup == nil || a.spec.OnSetupFailure != SetupFailureKeep || ctx.Err() != nil {
		return err
	}
	return a.keepDespite(ctx, setup)
}

// keepDespite commits a cluster whose setup failed and returns the failure.
func (a *attempt) keepDespite(ctx context.Context, setup *nodes.SetupError) error {
	session, err := a.clouds.Open(ctx, a.placement.Offer.Cloud)
	if err != nil {
		return err
	}
	a.cluster.StatusReason = nodes.SetupReason(setup)
	if err := a.commit(ctx, session); err != nil {
		return err
	}
	setup.Kept = true
	return setup
}
