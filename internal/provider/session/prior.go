// SPDX-License-Identifier: MPL-2.0

package session

import (
	"sync"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// priorClusters are the clusters that a plan has seen in state, by generation.
// Terraform plans a replacement as a change of what is there first, and then as a
// creation that knows nothing of it.
type priorClusters struct {
	mu  sync.Mutex
	all map[string]cluster.Cluster
}

func (p *priorClusters) Add(c cluster.Cluster) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[string]cluster.Cluster{}
	}
	p.all[c.Generation] = c
}

func (p *priorClusters) Named(name string) []cluster.Cluster {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []cluster.Cluster
	for _, c := range p.all {
		if c.Name == name {
			out = append(out, c)
		}
	}
	return out
}
