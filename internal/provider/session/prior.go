// SPDX-License-Identifier: MPL-2.0

package session

import (
	"sync"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
)

// priorClusters are the clusters that a plan has seen in state, by generation.
// Terraform plans a replacement as a change of what is there first, and then as a
// creation that knows nothing of it.
type priorClusters struct {
	mu  sync.Mutex
	all map[string]broker.Cluster
}

func (p *priorClusters) Add(c broker.Cluster) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[string]broker.Cluster{}
	}
	p.all[c.Generation] = c
}

func (p *priorClusters) Named(name string) []broker.Cluster {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []broker.Cluster
	for _, c := range p.all {
		if c.Name == name {
			out = append(out, c)
		}
	}
	return out
}
