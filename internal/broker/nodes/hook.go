// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// hookLook bounds asking the head after a hook that failed: a refresh does not
// wait for a head that does not answer.
const hookLook = 10 * time.Second

// HookFailed begins what is said of a hook that failed.
const HookFailed = "the hook of autostop failed"

// HookBefore repeats, of a cluster that has ended, what was known of its hook.
func HookBefore(c cluster.Cluster) string {
	if !strings.HasPrefix(c.StatusReason, HookFailed) {
		return ""
	}
	return ". Before that: " + c.StatusReason
}

func hookReason(cfg autostop.Config, f autostop.HookFailure) string {
	end := "stops"
	if cfg.Down {
		end = "is removed"
	}
	return fmt.Sprintf(HookFailed+": exit code %s, first at %s, tries %s. Once it has failed for %s the cluster %s without it. What it said is in ~/.sky/autostop/hook.log on the head",
		f.Code, f.First, f.Tries, cfg.HookHold, end)
}

// TellHook says in the status of a cluster that runs that the hook of its
// autostop failed. Only the head knows; where it does not answer, what was said
// before stays.
func (via Reach) TellHook(ctx context.Context, before string, c *cluster.Cluster) {
	if c.Status != cluster.StatusUp || c.Autostop == nil || c.Autostop.Hook == "" || !c.HeadRuns() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, hookLook)
	defer cancel()
	clients, err := via.dialHead(ctx, *c)
	if err != nil {
		c.StatusReason = before
		return
	}
	defer CloseAll(clients)
	failed, err := autostop.FailedHook(ctx, clients[0])
	switch {
	case err != nil:
		c.StatusReason = before
	case failed != nil:
		c.StatusReason = hookReason(*c.Autostop, *failed)
	}
}
