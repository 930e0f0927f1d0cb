// SPDX-License-Identifier: MPL-2.0

package launch

import (
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// blockTTL is how long other launches of the process avoid what just failed;
// capacity comes and goes within minutes.
const blockTTL = 3 * time.Minute

// Blocklist remembers, across the clusters of one apply, what just failed.
type Blocklist struct {
	mu sync.Mutex
	// Now is the clock.
	Now    func() time.Time
	blocks []timedBlock
}

type timedBlock struct {
	block optimizer.Block
	until time.Time
}

func (l *Blocklist) add(block optimizer.Block) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blocks = append(l.blocks, timedBlock{block, l.Now().Add(blockTTL)})
}

func (l *Blocklist) current() []optimizer.Block {
	l.mu.Lock()
	defer l.mu.Unlock()
	var live []timedBlock
	var out []optimizer.Block
	for _, b := range l.blocks {
		if l.Now().Before(b.until) {
			live = append(live, b)
			out = append(out, b.block)
		}
	}
	l.blocks = live
	return out
}

// blockFor turns a fault at a placement into what must not be tried again.
func blockFor(fault cloud.Fault, p cloud.Placement, reason string) optimizer.Block {
	o := p.Offer
	block := optimizer.Block{Cloud: o.Cloud, Reason: reason}
	if fault.Kind == cloud.KindAuth || fault.Scope == cloud.ScopeCloud {
		if fault.Kind == cloud.KindQuota || fault.Kind == cloud.KindCapacity {
			block.InstanceType, block.Market = o.InstanceType.Name, o.Market
		}
		return block
	}
	block.Region = o.Region
	if fault.Scope != cloud.ScopeRegion {
		block.Zone = o.Zone
	}
	switch fault.Kind {
	case cloud.KindCapacity, cloud.KindQuota:
		block.InstanceType, block.Market = o.InstanceType.Name, o.Market
	case cloud.KindConfig, cloud.KindUnknown:
		block.InstanceType = o.InstanceType.Name
	case cloud.KindAuth, cloud.KindTransient:
		// The whole place is in trouble, whatever the type.
	}
	return block
}

// shared reports whether other clusters of the process should avoid the block
// too: a failure that has to do with this cluster alone tells them nothing.
func shared(fault cloud.Fault) bool {
	return fault.Kind == cloud.KindCapacity || fault.Kind == cloud.KindQuota || fault.Kind == cloud.KindAuth
}
