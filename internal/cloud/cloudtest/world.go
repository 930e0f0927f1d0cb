// SPDX-License-Identifier: MPL-2.0

package cloudtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/guard"
)

// world is one case's view of the account: an owner of its own.
type world struct {
	cloud.Session
	h        Harness
	caps     cloud.Capabilities
	owner    string
	before   Counts
	clusters []*cluster
	undo     []func(context.Context) error
}

// hook returns the harness as a T.
func hook[T any](w *world) (T, error) {
	t, ok := w.h.(T)
	if !ok {
		return t, fmt.Errorf("the harness lacks the hook %T, and the driver's Capabilities do not exclude the case", &t)
	}
	return t, nil
}

func newWorld(ctx context.Context, h Harness) (*world, error) {
	session, err := open(ctx, h)
	if err != nil {
		return nil, err
	}
	w := &world{Session: session, h: h, caps: cloud.CapabilitiesOf(h.Factory(), h.Credentials()), owner: "conformance-" + random()}
	counter, err := hook[Counter](w)
	if err != nil {
		return nil, err
	}
	if w.before, err = counter.Count(ctx); err != nil {
		return nil, fmt.Errorf("count before: %w", err)
	}
	return w, nil
}

// open opens the cloud with a factory of its own, which shares no memory with
// another session, and guards its calls.
func open(ctx context.Context, h Harness) (cloud.Session, error) {
	var session cloud.Session
	err := guard.Call(ctx, "Open", func() (err error) {
		session, err = h.Factory().Open(ctx, h.Credentials())
		return err
	})
	if err != nil {
		return session, fmt.Errorf("Open: %w", err)
	}
	session.Provisioner = guard.Driver{Provisioner: session.Provisioner}
	return session, nil
}

// another is the same case in another process.
func (w *world) another(ctx context.Context) (*world, error) {
	session, err := open(ctx, w.h)
	if err != nil {
		return nil, err
	}
	other := *w
	other.Session, other.clusters, other.undo = session, nil, nil
	return &other, nil
}

// under is the cluster as another session has it: what to ask for, and nothing
// that the driver told.
func (c *cluster) under(w *world) *cluster {
	other := *c
	other.w, other.cfg = w, cloud.RunConfig{}
	return &other
}

func random() string {
	b := make([]byte, 6)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// close removes what the case made, through the driver, and adds to err what
// was left over.
func (w *world) close(ctx context.Context, err error) error {
	errs := []error{err}
	for _, c := range w.clusters {
		errs = append(errs, c.remove(ctx))
	}
	for _, f := range slices.Backward(w.undo) {
		errs = append(errs, f(ctx))
	}
	return errors.Join(append(errs, w.countsAre(ctx, w.before, "after everything was removed"))...)
}

func (w *world) count(ctx context.Context) (Counts, error) {
	counter, err := hook[Counter](w)
	if err != nil {
		return Counts{}, err
	}
	return counter.Count(ctx)
}

func (w *world) countsAre(ctx context.Context, want Counts, when string) error {
	got, err := w.count(ctx)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%s the account holds %+v, want %+v", when, got, want)
	}
	return nil
}

// cluster is a cluster under test.
type cluster struct {
	w    *world
	ref  cloud.ClusterRef
	at   cloud.Placement
	cfg  cloud.RunConfig
	spec cloud.ClusterSpec
	// attempts holds the attempt of each rank; nodes what was made of it, since
	// a launch must be repeated as it was.
	attempts []int
	nodes    map[cloud.Identity]cloud.NodeSpec
	// hostKeys and userData are told by rank.
	hostKeys map[int]string
	userData map[int][]byte
}

// option changes a cluster before its machines are asked for.
type option func(*cluster)

func named(name string) option     { return func(c *cluster) { c.ref.Cluster = name } }
func generation(g string) option   { return func(c *cluster) { c.ref.Generation = g } }
func deadline(at time.Time) option { return func(c *cluster) { c.spec.Deadline = at } }
func onShutdown(how cloud.Shutdown) option {
	return func(c *cluster) { c.spec.OnShutdown = how }
}
func market(m cloud.Market) option {
	return func(c *cluster) { c.at = c.w.h.Placement(len(c.attempts), m) }
}
func ports(p ...cloud.PortRange) option { return func(c *cluster) { c.spec.Ports = p } }

// cluster describes a cluster and asks the cloud for nothing.
func (w *world) cluster(nodes int, opts ...option) *cluster {
	c := &cluster{
		w:        w,
		attempts: make([]int, nodes),
		nodes:    map[cloud.Identity]cloud.NodeSpec{},
		userData: map[int][]byte{},
		ref: cloud.ClusterRef{
			Owner: w.owner, Cloud: w.h.Factory().Name(),
			Cluster: fmt.Sprintf("c%d", len(w.clusters)), Generation: "g" + random(),
		},
		spec: cloud.ClusterSpec{
			AllowedCIDRs: []netip.Prefix{suitePrefix()},
			Labels:       map[string]string{"team": "weather", "purpose": "conformance"},
		},
	}
	c.at = w.h.Placement(nodes, cloud.OnDemand)
	if w.caps.DeadMan || w.caps.DeadManStops {
		c.spec.Deadline = time.Now().Add(time.Hour)
	}
	for _, o := range opts {
		o(c)
	}
	c.ref.Region, c.ref.Zone = c.at.Offer.Region, c.at.Offer.Zone
	w.clusters = append(w.clusters, c)
	return c
}

// remove takes the cluster away with all its ports and keys.
func (c *cluster) remove(ctx context.Context) error {
	if err := c.w.Terminate(ctx, c.ref); err != nil {
		return fmt.Errorf("Terminate %s: %w", c.ref.Cluster, err)
	}
	if err := c.w.CleanupPorts(ctx, c.ref); err != nil {
		return fmt.Errorf("CleanupPorts %s: %w", c.ref.Cluster, err)
	}
	return nil
}

func (c *cluster) identity(rank int) cloud.Identity {
	return cloud.Identity{
		Owner: c.ref.Owner, Cluster: c.ref.Cluster, Generation: c.ref.Generation,
		Attempt: c.attempts[rank], Rank: rank,
	}
}

// resize changes how many machines are wanted.
func (c *cluster) resize(nodes int) {
	for len(c.attempts) < nodes {
		c.attempts = append(c.attempts, 0)
	}
	c.attempts = c.attempts[:nodes]
	c.at.Nodes = nodes
}

// current is the spec with an entry for each wanted rank.
func (c *cluster) current() cloud.ClusterSpec {
	base := c.spec
	base.Ref = c.ref
	base.Labels = maps.Clone(c.spec.Labels)
	base.Nodes = nil
	for rank := range c.attempts {
		base.Nodes = append(base.Nodes, cloud.NodeSpec{Identity: c.identity(rank)})
	}
	full := c.w.h.Spec(base)
	for i, n := range full.Nodes {
		if data := c.userData[n.Identity.Rank]; data != nil {
			n.UserData = data
			full.Nodes[i] = n
		}
		if known, ok := c.nodes[n.Identity]; ok {
			full.Nodes[i] = known
		} else {
			c.nodes[n.Identity] = n
		}
		full.Nodes[i].HostKey = c.hostKeys[n.Identity.Rank]
	}
	return full
}

func (c *cluster) bootstrap(ctx context.Context) error {
	cfg, err := c.w.Bootstrap(ctx, c.current(), c.at)
	if err != nil {
		return fmt.Errorf("Bootstrap: %w", err)
	}
	c.cfg = cfg
	return nil
}

// run bootstraps and runs; the record comes with the error as the driver gave it.
func (c *cluster) run(ctx context.Context) (cloud.RunRecord, error) {
	if err := c.bootstrap(ctx); err != nil {
		return cloud.RunRecord{}, err
	}
	return c.w.Run(ctx, c.ref, c.cfg)
}

// up describes a cluster and has it up, as cluster.up says.
func (w *world) up(ctx context.Context, nodes int, opts ...option) (*cluster, []cloud.Instance, error) {
	c := w.cluster(nodes, opts...)
	machines, err := c.up(ctx)
	return c, machines, err
}

// up runs the cluster and waits until all its machines run; it returns them by rank.
func (c *cluster) up(ctx context.Context) ([]cloud.Instance, error) {
	if _, err := c.run(ctx); err != nil {
		return nil, fmt.Errorf("Run: %w", err)
	}
	if err := c.w.Wait(ctx, c.ref, cloud.StateRunning); err != nil {
		return nil, fmt.Errorf("Wait for running: %w", err)
	}
	info, err := c.w.Describe(ctx, c.ref)
	if err != nil {
		return nil, fmt.Errorf("Describe: %w", err)
	}
	if len(info.Instances) != len(c.attempts) {
		return nil, fmt.Errorf("Describe shows %d machines, want %d", len(info.Instances), len(c.attempts))
	}
	return info.Instances, nil
}

func ids(instances []cloud.Instance) []string {
	out := make([]string, 0, len(instances))
	for _, in := range instances {
		out = append(out, in.ID)
	}
	return out
}

// narrowed is the cluster's ref for these ids only.
func (c *cluster) narrowed(ids ...string) cloud.ClusterRef {
	ref := c.ref
	ref.Instances = append([]string{}, ids...)
	return ref
}

// lists says whether Query shows exactly these machines, in this state.
func (w *world) lists(ctx context.Context, ref cloud.ClusterRef, state cloud.State, want ...string) error {
	got, err := w.Query(ctx, ref)
	if err != nil {
		return fmt.Errorf("Query: %w", err)
	}
	if !sameSet(ids(got), want) {
		return fmt.Errorf("Query shows machines %v, want %v", ids(got), want)
	}
	for _, in := range got {
		if state != "" && in.State != state {
			return fmt.Errorf("machine %s is %s, want %s", in.ID, in.State, state)
		}
	}
	return nil
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// eventually repeats f until it returns nil or ctx ends.
func eventually(ctx context.Context, f func() error) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-ticker.C:
		}
	}
}
