// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"cmp"
	"context"

	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
	"github.com/skybroker/terraform-provider-sky/templates"
)

// clusterSpec is what the cloud is asked for: the machines that are there, and the
// template rendered for every rank that is to be made.
func (u *bringUp) clusterSpec(ctx context.Context) (cloud.ClusterSpec, error) {
	offer := u.placement.Offer
	tmpl, err := clusterconfig.Load(templates.FS, u.reach.TemplateDir, offer.Cloud)
	if err != nil {
		return cloud.ClusterSpec{}, &localError{cloud.ScopeCloud, err}
	}
	image := u.requirement.Image
	if u.images != nil {
		if image, err = u.images(ctx, offer.Cloud, image, offer.Region, offer.InstanceType.Arch); err != nil {
			return cloud.ClusterSpec{}, &localError{cloud.ScopeRegion, err}
		}
	}
	spec := u.base
	spec.Attempt, spec.Deadline, spec.OnShutdown = u.number, u.deadline, u.onShutdown
	spec.Image, spec.DiskGiB, spec.DiskTier = image, u.requirement.DiskGiB, u.requirement.DiskTier
	spec.MaxMachineUSD = perMachine(u.requirement, u.paid)
	spec.Ports, spec.Labels, spec.AuthorizedKeys = u.spec.Ports, u.spec.Labels, u.keys.Authorized
	if len(u.spec.AllowedCIDRs) > 0 {
		spec.AllowedCIDRs = u.spec.AllowedCIDRs
	}
	if spec.Nodes, err = u.render(tmpl, image); err != nil {
		return cloud.ClusterSpec{}, &localError{cloud.ScopeCloud, err}
	}
	spec.Notes = cluster.NotesOf(u.before.Runtime, u.before.Accelerators)
	spec.SSHUser, spec.NodeConfig = cmp.Or(u.base.SSHUser, u.config.SSHUser), u.config.NodeConfig
	if err := u.checkConfig(); err != nil {
		return cloud.ClusterSpec{}, &localError{cloud.ScopeCloud, err}
	}
	return spec, nil
}

// render are the machines of the base and, with their user data, the new ones.
func (u *bringUp) render(tmpl *clusterconfig.Template, image string) ([]cloud.NodeSpec, error) {
	out := u.base.Nodes
	vars := nodes.VarsOf(u.before)
	vars.Image, vars.Nodes, vars.AuthorizedKeys = image, u.size, u.keys.Authorized
	for _, rank := range u.ranks {
		vars.Rank, vars.HostKey = rank, u.keys.Hosts[rank]
		cfg, err := tmpl.Render(vars)
		if err != nil {
			return nil, err
		}
		u.config = cfg
		out = append(out, cloud.NodeSpec{Identity: u.identity(rank), UserData: []byte(cfg.UserData), HostKey: u.keys.Hosts[rank].Public})
	}
	return out, nil
}

func (u *bringUp) identity(rank int) cloud.Identity {
	c := u.before
	return cloud.Identity{Owner: c.Owner, Cluster: c.Name, Generation: c.Generation, Attempt: u.number, Rank: rank}
}

// checkConfig sees that the template has what the cluster is to do, before there
// is a machine.
func (u *bringUp) checkConfig() error {
	if u.before.Runtime == cluster.RuntimeRay && u.config.Ray.Script == "" {
		return nodes.NoRay(u.before.Cloud)
	}
	if u.before.Autostop == nil {
		return nil
	}
	_, err := nodes.EndCommand(u.config, u.before.Cloud, *u.before.Autostop)
	return err
}

// perMachine is what each of the machines that are paid for may cost an hour;
// 0 is no bound.
func perMachine(req cloud.Requirement, machines int) float64 {
	if machines <= 0 {
		return 0
	}
	return req.MaxHourlyUSD / float64(machines)
}
