// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// TestShiftedPages: pages shift while machines are removed, so that one list may
// leave out the machine of another session that this one gave way to. Whichever
// list that is, Run reports the machine.
func TestShiftedPages(t *testing.T) {
	for shifted := range 12 {
		synctest.Test(t, func(t *testing.T) {
			p := &pods{}
			f, cfg := fleetOf(p, 1, func(c *Config[string, string]) { c.Settle = time.Second })
			elder := Machine[string]{Instance: cloud.Instance{
				ID: "pod-elder", Identity: cfg.Spec.Nodes[0].Identity, Region: "r", Type: "small", Market: cloud.OnDemand, State: cloud.StateRunning,
			}}
			lists := 0 // since the own one was removed
			p.show = func(have []Machine[string]) []Machine[string] {
				if len(p.launched) == 0 {
					return have
				}
				if len(have) == 0 {
					lists++
				}
				if lists == shifted+1 {
					return have
				}
				for i := range have {
					have[i].CreatedAt = p.launched[0]
				}
				return slices.Concat([]Machine[string]{elder}, have)
			}
			record, err := f.Run(t.Context(), cfg.Spec.Ref, cfg)
			if err != nil || len(record.Created) != 0 || !slices.Equal(record.Adopted, []string{elder.ID}) {
				t.Errorf("where list %d left it out, the launch gave %+v, %v, want that %s was adopted", shifted, record, err, elder.ID)
			}
		})
	}
}

// TestGivesWayTwice: where the list that shows the elder of one machine leaves out
// that of another, both give way, and neither session waits for the other.
func TestGivesWayTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pods{}
		f, cfg := fleetOf(p, 2, func(c *Config[string, string]) { c.Settle = time.Second })
		var others []Machine[string]
		for _, n := range cfg.Spec.Nodes {
			others = append(others, Machine[string]{Instance: cloud.Instance{
				ID: fmt.Sprint("pod-elder-", n.Identity.Rank), Identity: n.Identity, Region: "r", Type: "small", Market: cloud.OnDemand, State: cloud.StateRunning,
			}})
		}
		p.show = func(have []Machine[string]) []Machine[string] {
			switch len(have) {
			case 2: // the own ones are both there
				for i := range have {
					have[i].CreatedAt = p.launched[0]
				}
				return append(have, others[0])
			case 1:
				have[0].CreatedAt = p.launched[0]
			}
			if len(p.launched) == 0 {
				return have
			}
			return append(have, others...)
		}
		start := time.Now()
		record, err := f.Run(t.Context(), cfg.Spec.Ref, cfg)
		if err != nil || len(record.Created) != 0 || !slices.Equal(record.Adopted, []string{"pod-elder-0", "pod-elder-1"}) || time.Since(start) > time.Minute {
			t.Errorf("the launch gave %+v, %v after %v, want both elders adopted", record, err, time.Since(start))
		}
	})
}
