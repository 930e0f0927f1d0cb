// SPDX-License-Identifier: MPL-2.0

package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// link lets the head reach another node.
type link func(ctx context.Context, c *remote.Client) error

// link prepares the head, c, for reaching the other nodes. With Ray it sees that
// Ray runs there, which a reboot may have ended.
func (r *Runner) link(ctx context.Context, c *remote.Client, s *submission) (link, error) {
	if r.cluster.Runtime == cluster.RuntimeRay {
		out, err := rayUp(ctx, c, "")
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, c *remote.Client) error {
			_, err := rayUp(ctx, c, out)
			return err
		}, nil
	}
	key := ""
	if s.spec.NumNodes > 1 {
		var err error
		if key, err = remote.ClusterKey(ctx, c); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, c *remote.Client) error { return remote.AuthorizeClusterKey(ctx, c, key) }, nil
}

// reach is how many nodes get the job's folder. Ray may choose any of them.
func (r *Runner) reach(s *submission) int {
	if r.cluster.Runtime == cluster.RuntimeRay {
		return len(r.nodes)
	}
	return s.spec.NumNodes
}

// nodeOf is the node that a rank of a job ran on: its own, or the one Ray chose.
func (r *Runner) nodeOf(ctx context.Context, id ID, rank int) (int, error) {
	if err := id.check(); err != nil || r.cluster.Runtime != cluster.RuntimeRay {
		return rank, err
	}
	out, err := r.output(ctx, 0, fmt.Sprintf("sed -n %dp %s/placement 2>/dev/null || :", rank+1, id.dir()))
	if err != nil {
		return 0, err
	}
	address := strings.TrimSpace(out)
	for i, n := range r.nodes {
		if at, _ := n.internal(); at == address {
			return i, nil
		}
	}
	if address != "" {
		return 0, retry.Stop(fmt.Errorf("rank %d ran on %s, which is no node of the cluster any more", rank, remote.Clean(address)))
	}
	return rank, nil // of the time before the cluster had Ray, or pruned
}

// rayUp sees that Ray runs on a node: on the head for an empty session, else as
// a worker of that session. It returns the session.
func rayUp(ctx context.Context, c *remote.Client, session string) (string, error) {
	out, err := c.Output(ctx, `[ -e .sky/ray/ray.sh ] || { echo "Ray was not set up here" >&2; exit 1; }
exec sh .sky/ray/ray.sh up `+session)
	if err != nil {
		return "", fmt.Errorf("seeing that Ray runs: %w", err)
	}
	fields := strings.Fields(out)
	if len(fields) != 2 {
		return "", errors.New("seeing that Ray runs: it names no session")
	}
	return remote.Quote(fields[0]) + " " + remote.Quote(fields[1]), nil
}

// rayJob is what driver.py reads.
func (r *Runner) rayJob(s *submission) []byte {
	share := s.spec.share(r.cluster)
	bundle := map[string]float64{"CPU": share.CPUs}
	// To Ray a node has whole ones: what is less counts as one.
	if has := r.cluster.AcceleratorsPerNode(); share.Accelerators > 0 {
		devices := share.Accelerators * math.Ceil(has) / has
		if share.Accelerator != "" {
			bundle[share.Accelerator] = devices
		}
		if !strings.HasPrefix(strings.ToLower(share.Accelerator), "tpu") {
			bundle["GPU"] = devices
		}
	}
	addresses := make([]string, len(r.nodes))
	for i, n := range r.nodes {
		addresses[i], _ = n.internal()
	}
	text, _ := json.Marshal(struct { //nolint:errchkjson // strings and finite numbers
		ID        ID                 `json:"id"`
		Name      string             `json:"name"`
		Nodes     int                `json:"nodes"`
		Bundle    map[string]float64 `json:"bundle"`
		Addresses []string           `json:"addresses"`
		Patience  float64            `json:"patience"` // seconds for processes to end
	}{s.id, s.spec.Name, s.spec.NumNodes, bundle, addresses, (s.spec.Grace + 15*time.Second).Seconds()})
	return text
}
