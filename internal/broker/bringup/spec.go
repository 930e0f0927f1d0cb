// SPDX-License-Identifier: MPL-2.0

package bringup

import (
	"cmp"
	"context"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
	"github.com/skybroker/terraform-provider-sky/templates"
)

// clusterSpec is what the cloud is asked for: the machines that are there, and the
// template rendered for every rank that is to be made.
func (u *BringUp) clusterSpec(ctx context.Context) (cloud.ClusterSpec, error) {
	offer := u.Placement.Offer
	tmpl, err := clusterconfig.Load(templates.FS, u.reach.TemplateDir, offer.Cloud)
	if err != nil {
		return cloud.ClusterSpec{}, &localError{cloud.ScopeCloud, err}
	}
	image := u.Requirement.Image
	if u.images != nil {
		if image, err = u.images(ctx, offer.Cloud, image, offer.Region, offer.InstanceType.Arch); err != nil {
			return cloud.ClusterSpec{}, &localError{cloud.ScopeRegion, err}
		}
	}
	spec := u.Base
	spec.Attempt, spec.Deadline, spec.OnShutdown = u.Number, u.deadline, u.OnShutdown
	spec.Image, spec.DiskGiB, spec.DiskTier = image, u.Requirement.DiskGiB, u.Requirement.DiskTier
	spec.MaxMachineUSD = perMachine(u.Requirement, u.Paid)
	spec.Ports, spec.Labels, spec.AuthorizedKeys = u.spec.Ports, u.spec.Labels, u.Keys.Authorized
	if len(u.spec.AllowedCIDRs) > 0 {
		spec.AllowedCIDRs = u.spec.AllowedCIDRs
	}
	if spec.Nodes, err = u.render(tmpl, image); err != nil {
		return cloud.ClusterSpec{}, &localError{cloud.ScopeCloud, err}
	}
	spec.Notes = cluster.NotesOf(u.Before.Runtime, u.Before.Accelerators)
	spec.SSHUser, spec.NodeConfig = cmp.Or(u.Base.SSHUser, u.config.SSHUser), u.config.NodeConfig
	if err := u.checkConfig(); err != nil {
		return cloud.ClusterSpec{}, &localError{cloud.ScopeCloud, err}
	}
	return spec, nil
}

// render are the machines of the base and, with their user data, the new ones.
func (u *BringUp) render(tmpl *clusterconfig.Template, image string) ([]cloud.NodeSpec, error) {
	out := u.Base.Nodes
	vars := nodes.VarsOf(u.Before)
	vars.Image, vars.Nodes, vars.AuthorizedKeys = image, u.Size, u.Keys.Authorized
	for _, rank := range u.Ranks {
		vars.Rank, vars.HostKey = rank, u.Keys.Hosts[rank]
		cfg, err := tmpl.Render(vars)
		if err != nil {
			return nil, err
		}
		u.config = cfg
		n := cloud.NodeSpec{Identity: u.identity(rank), UserData: []byte(cfg.UserData), HostKey: u.Keys.Hosts[rank].Public}
		if u.birthShown { // nobody is to trust it for long
			n.HostKey = ""
		}
		out = append(out, n)
	}
	return out, nil
}

func (u *BringUp) identity(rank int) cloud.Identity {
	c := u.Before
	return cloud.Identity{Owner: c.Owner, Cluster: c.Name, Generation: c.Generation, Attempt: u.Number, Rank: rank}
}

// checkConfig sees that the template has what the cluster is to do, before there
// is a machine.
func (u *BringUp) checkConfig() error {
	if u.Before.Runtime == cluster.RuntimeRay && u.config.Ray.Script == "" {
		return nodes.NoRay(u.Before.Cloud)
	}
	if u.birthShown && u.config.RenewHostKey == "" {
		return fmt.Errorf("the cluster template of cloud %s has no renew_host_key, which a cloud needs whose API shows the host key that a machine was born with", u.Before.Cloud)
	}
	if u.Before.Autostop == nil {
		return nil
	}
	_, err := nodes.EndCommand(u.config, u.Before.Cloud, *u.Before.Autostop)
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
