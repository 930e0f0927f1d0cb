// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
	"github.com/skybroker/terraform-provider-sky/templates"
)

// CheckTemplates renders the templates of a folder as launches at the placements
// would, once for each cloud: a broken template is no lack of capacity. The
// error names the file.
func CheckTemplates(dir string, placements []cloud.Placement) error {
	seen := map[string]bool{}
	for _, p := range placements {
		if seen[p.Offer.Cloud] {
			continue
		}
		seen[p.Offer.Cloud] = true
		if _, err := checkTemplate(dir, p); err != nil {
			return err
		}
	}
	return nil
}

// Tools are the commands that the template promises for a placement.
func Tools(dir string, p cloud.Placement) ([]string, error) {
	cfg, err := checkTemplate(dir, p)
	return cfg.Tools, err
}

func checkTemplate(dir string, p cloud.Placement) (cfg clusterconfig.Config, err error) {
	tmpl, err := clusterconfig.Load(templates.FS, dir, p.Offer.Cloud)
	if err != nil {
		return cfg, err
	}
	for rank := range min(p.Nodes, 2) { // the head, and one that is not
		cfg, err = tmpl.Render(clusterconfig.Vars{
			ClusterName: "example", Cloud: p.Offer.Cloud, Region: p.Offer.Region, Zone: p.Offer.Zone,
			InstanceType: p.Offer.InstanceType.Name, Accelerator: p.Offer.InstanceType.Accelerator, Image: "example",
			Nodes: p.Nodes, Rank: rank, AuthorizedKeys: []string{"ssh-ed25519 AAAA example"},
			HostKey: clusterconfig.HostKey{Private: "-----BEGIN-----\nexample\n-----END-----\n", Public: "ssh-ed25519 AAAA"},
		})
		if err != nil {
			return cfg, err
		}
	}
	return cfg, nil
}
