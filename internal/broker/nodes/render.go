// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
	"github.com/skybroker/terraform-provider-sky/templates"
)

// Render is the cluster's configuration as far as it concerns no node in particular.
func (via Reach) Render(c cluster.Cluster) (clusterconfig.Config, error) {
	tmpl, err := clusterconfig.Load(templates.FS, via.TemplateDir, c.Cloud)
	if err != nil {
		return clusterconfig.Config{}, err
	}
	return tmpl.Render(VarsOf(c))
}

// PrepareScript is the template's own setup, which is safe to repeat.
func (via Reach) PrepareScript(c cluster.Cluster) (string, error) {
	cfg, err := via.Render(c)
	return cfg.Setup, err
}

// VarsOf are what a template is told of the cluster, whatever the node.
func VarsOf(c cluster.Cluster) clusterconfig.Vars {
	return clusterconfig.Vars{
		ClusterName: c.Name, Cloud: c.Cloud, Region: c.Region, Zone: c.Zone,
		InstanceType: c.InstanceType, Accelerator: c.Devices(), Nodes: c.Size,
	}
}
