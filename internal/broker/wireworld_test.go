// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/ibm"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/lambda"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/lambda/lambdafake"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/runpod"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/runpod/runpodfake"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// wireWorld is a cloud behind its real driver and its API, in a bubble: the driver's
// calls go over HTTP to a fake that keeps state, through a transport that knows which
// process makes them.
type wireWorld struct {
	x   *simTerraform
	kit *fakekit.Kit
	api wireAPI
	// names tells what the fake calls a call.
	names *http.ServeMux

	mu         sync.Mutex
	armed      []func() // take back what was injected
	hooks      map[string]*wireHook
	launched   int
	duplicates []string
}

// wireHook is called before a call of a name, once Skip of them have passed.
type wireHook struct {
	skip int
	do   func()
}

// wireAPI is what differs from cloud to cloud.
type wireAPI struct {
	cloud   string
	nodes   int
	offers  []cloud.Offer // the first is the cheapest
	calls   []string
	factory func(http.RoundTripper) cloud.Factory
	creds   cloud.Credentials
	// create, list, mark and remove are calls that every cell is about.
	create, list, mark, remove string
	// cheapest is a part of each launch at the first offer.
	cheapest string
	// full, poor and empty are answers: no room, no money, and no machines.
	full, poor *fakekit.Refusal
	empty      string
	// dud lets the newest machine never run. It is called under the fake's lock.
	dud func()
	// tags are those of a machine that a launch asks for.
	tags func(launch []byte) map[string]string
	// all are the machines there are, as their cloud would show them to us.
	all   func() []cloud.Instance
	left  func() []string
	end   func(id string)
	stray func(cloud.Identity)
}

// newWire returns a Terraform on that cloud, with neighbours. It must run in a bubble.
func newWire(t *testing.T, name string, seed uint64) (*simTerraform, *wireWorld) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0x5eed))
	x := startSim(t, rng)
	w := &wireWorld{x: x, hooks: map[string]*wireHook{}, names: http.NewServeMux()}
	lag := time.Duration(rng.IntN(8000)) * time.Millisecond
	switch name {
	case runpod.Name:
		w.kit, w.api = wireRunPod(t, lag)
	case lambda.Name:
		w.kit, w.api = wireLambda(t, lag)
	case ibm.Name:
		w.kit, w.api = wireIBM(t, lag)
	}
	for _, call := range w.api.calls {
		w.names.HandleFunc(call, func(http.ResponseWriter, *http.Request) {})
	}
	x.world = w
	x.spec.Offers, x.spec.Request.Nodes = w.api.offers, w.api.nodes
	x.spec.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for _, n := range neighbours() {
		w.api.stray(n)
	}
	return x, w
}

func wireOffer(cloudName, region, instanceType string, price float64) cloud.Offer {
	return cloud.Offer{
		Cloud: cloudName, Region: region, Market: cloud.OnDemand, HourlyUSD: price,
		InstanceType: cloud.InstanceType{Name: instanceType, VCPUs: 30, MemoryGiB: 100, Arch: "x86_64", Accelerator: cloud.Accelerator{Name: "A100", Count: 1}},
	}
}

func wireRunPod(t *testing.T, lag time.Duration) (*fakekit.Kit, wireAPI) {
	t.Helper()
	c := runpodfake.Start(t, runpodfake.Options{InMemory: true, Limits: true, Placed: 20 * time.Second, Started: time.Minute, VisibleAfter: lag})
	return c.Kit, wireAPI{
		cloud: runpod.Name, nodes: 1,
		offers: []cloud.Offer{wireOffer(runpod.Name, "US", "1x_A40_SECURE", 0.44), wireOffer(runpod.Name, "CA", "1x_A40_SECURE", 0.5), wireOffer(runpod.Name, "RO", "1x_A40_SECURE", 0.6)},
		calls:  []string{runpodfake.CallCatalog, runpodfake.CallCreate, runpodfake.CallList, runpodfake.CallGet, runpodfake.CallRename, runpodfake.CallDelete},
		create: runpodfake.CallCreate, list: runpodfake.CallList, mark: runpodfake.CallRename, remove: runpodfake.CallDelete,
		cheapest: `"US-`, full: fakekit.Refusef(http.StatusBadRequest, "", "%s", runpodfake.Full), poor: fakekit.Refusef(http.StatusPaymentRequired, "", "Insufficient balance"),
		empty: `{"pods": []}`, dud: func() { c.Newest().Stays = runpodfake.Provisioning },
		factory: func(over http.RoundTripper) cloud.Factory { return runpod.New().Over(over) },
		creds:   cloud.Credentials{Values: map[string]string{"api_key": runpodfake.Key, "endpoint_url": c.URL}},
		tags: func(launch []byte) map[string]string {
			var in runpodfake.Order
			_ = json.Unmarshal(launch, &in) // it is refused then
			return wirePodTags(in.Env)
		},
		all: func() (all []cloud.Instance) {
			for _, p := range c.Pods() {
				held := wirePodTags(p.Env)
				in := wireInstance(p.ID, held, strings.HasSuffix(p.Name, "-new"))
				in.Region, in.State = held[cloud.TagPrefix+"region"], cloud.StatePending
				if p.Status == runpodfake.Running && p.Runtime != nil && len(p.Runtime.Ports) > 0 {
					in.State, in.ExternalIP = cloud.StateRunning, *p.Runtime.Ports[0].IP
				}
				all = append(all, in)
			}
			return all
		},
		left: func() []string { return nil }, // a pod comes with nothing beside it
		end:  c.Remove,
		stray: func(id cloud.Identity) {
			text, err := json.Marshal(id.Tags())
			if err != nil {
				t.Fatal(err)
			}
			c.Add(runpodfake.Order{Name: id.Name(50), Image: "x", Cloud: "SECURE", Env: map[string]string{"SKY_TAGS": string(text)}})
		},
	}
}

func wireLambda(t *testing.T, lag time.Duration) (*fakekit.Kit, wireAPI) {
	t.Helper()
	c := lambdafake.Start(t, lambdafake.Options{
		InMemory: true, Limits: true, EndTime: 40 * time.Second, VisibleAfter: lag, BootTime: func(string) time.Duration { return 4 * time.Minute },
	})
	return c.Kit, wireAPI{
		cloud: lambda.Name, nodes: 2,
		offers: []cloud.Offer{wireOffer(lambda.Name, "us-east-1", "gpu_1x_a10", 1.29), wireOffer(lambda.Name, "us-west-2", "gpu_1x_a10", 1.3), wireOffer(lambda.Name, "us-south-1", "gpu_1x_a10", 1.4)},
		calls: []string{
			lambdafake.CallTypes, "GET /api/v1/images", lambdafake.CallLaunch, lambdafake.CallList, lambdafake.CallGet, lambdafake.CallRename, lambdafake.CallTerminate,
			"GET /api/v1/ssh-keys", "POST /api/v1/ssh-keys", "DELETE /api/v1/ssh-keys/{id}",
			"GET /api/v1/firewall-rulesets", "POST /api/v1/firewall-rulesets", "PATCH /api/v1/firewall-rulesets/{id}", "DELETE /api/v1/firewall-rulesets/{id}",
		},
		create: lambdafake.CallLaunch, list: lambdafake.CallList, mark: lambdafake.CallRename, remove: lambdafake.CallTerminate,
		cheapest: `"us-east-1"`, full: lambdafake.NoRoom(), poor: fakekit.Refusef(http.StatusBadRequest, "global/quota-exceeded", "Quota exceeded."),
		empty: `{"data": []}`, dud: c.LateCapacity(),
		factory: func(over http.RoundTripper) cloud.Factory { return lambda.New().Over(over) },
		creds:   cloud.Credentials{Values: map[string]string{"api_key": lambdafake.Key, "endpoint_url": c.URL}},
		tags: func(launch []byte) map[string]string {
			var in lambdafake.Order
			_ = json.Unmarshal(launch, &in) // it is refused then
			return wireLambdaTags(in.Tags)
		},
		all: func() (all []cloud.Instance) {
			for _, m := range c.Machines() {
				in := wireInstance(m.ID, wireLambdaTags(m.Tags), strings.Contains(m.Name, "-new"))
				in.Region, in.State = m.Region.Name, cloud.StatePending
				switch m.Status {
				case "active":
					in.State, in.ExternalIP = cloud.StateRunning, m.IP
				case "terminating":
					in.State = cloud.StateTerminating
				}
				all = append(all, in)
			}
			return all
		},
		left: func() (left []string) {
			for _, k := range c.Keys() {
				left = append(left, "key "+k.Name)
			}
			for _, r := range c.Rulesets() {
				left = append(left, "ruleset "+r.Name)
			}
			return left
		},
		end: c.Remove,
		stray: func(id cloud.Identity) {
			in := lambdafake.Order{Name: id.Name(60), Region: "us-east-1", Type: "gpu_1x_a10", Keys: []string{"somebody's"}}
			held, err := wireFlat().Encode(id.Tags())
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range held {
				in.Tags = append(in.Tags, lambdafake.Tag{Key: k, Value: v})
			}
			c.Add(in)
		},
	}
}

func wirePodTags(env map[string]string) map[string]string {
	held := map[string]string{}
	_ = json.Unmarshal([]byte(env["SKY_TAGS"]), &held) // a stranger has none
	return held
}

func wireFlat() tags.Flat { return tags.Flat{MaxKey: 55, MaxValue: 128} }

func wireLambdaTags(all []lambdafake.Tag) map[string]string {
	held := map[string]string{}
	for _, t := range all {
		held[t.Key] = t.Value
	}
	return wireFlat().Decode(held)
}

// wireInstance is a machine by its tags.
func wireInstance(id string, held map[string]string, fresh bool) cloud.Instance {
	in := cloud.Instance{ID: id, Committed: !fresh}
	in.Identity, _ = cloud.IdentityFromTags(held) // the zero one is a stranger's
	if fresh {
		in.Deadline, _ = time.Parse(time.RFC3339, held[cloud.TagPrefix+"deadline"])
	}
	return in
}

func (w *wireWorld) open(p *memcloud.Process) (cloud.Factory, cloud.Credentials, simDial) {
	over := wireTransport{w, p, w.kit.Transport()}
	return w.api.factory(over), w.api.creds, func(ctx context.Context, target remote.Target) (nodes.Node, error) {
		n := wireNode{w, p, target.Host}
		for {
			err := n.call("ssh/dial")
			if err == nil || !errors.Is(err, memcloud.ErrTimeout) {
				return n, err
			}
			if perr := retry.Pause(ctx, 2*time.Second); perr != nil {
				return nil, errors.Join(perr, err)
			}
		}
	}
}

func (w *wireWorld) Of(owner string) []cloud.Instance {
	return slices.DeleteFunc(w.api.all(), func(in cloud.Instance) bool { return in.Identity.Owner != owner })
}

func (w *wireWorld) left(string) []string { return w.api.left() }

// Mistake is none: these clouds make nothing late or twice here.
func (*wireWorld) Mistake(string) bool { return false }

func (*wireWorld) listed(string) bool { return true }

func (w *wireWorld) heal(also func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, remove := range w.armed {
		remove()
	}
	w.armed, w.hooks = nil, map[string]*wireHook{}
	also()
}

func (w *wireWorld) made() (int, []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.launched, w.duplicates
}

// before notes a call that is about to be made.
func (w *wireWorld) before(name string, body []byte) {
	if name == w.api.create {
		w.beforeCreate(body)
	}
	w.mu.Lock()
	hook := w.hooks[name]
	if hook != nil {
		if hook.skip--; hook.skip >= 0 {
			hook = nil
		} else {
			delete(w.hooks, name)
		}
	}
	w.mu.Unlock()
	if hook != nil {
		hook.do()
	}
}

// beforeCreate looks whose machine is to be made: the journal must announce it, and no
// other of its rank may live.
func (w *wireWorld) beforeCreate(body []byte) {
	id, ok := cloud.IdentityFromTags(w.api.tags(body))
	if !ok {
		w.x.t.Errorf("a launch says of nobody whose it is: %s", body)
		return
	}
	w.x.beforeCreate(id)
	living := slices.DeleteFunc(w.Of(simOwner), func(in cloud.Instance) bool {
		return in.Identity.Cluster != id.Cluster || in.Identity.Rank != id.Rank || in.State == cloud.StateTerminating
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.launched++
	if len(living) > 0 {
		w.duplicates = append(w.duplicates, fmt.Sprintf("%+v beside %+v (%s)", id, living[0].Identity, living[0].ID))
	}
}

// wireTransport makes the calls of one process.
type wireTransport struct {
	w    *wireWorld
	p    *memcloud.Process
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (o wireTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	_, name := o.w.names.Handler(req)
	if err := o.p.Point(name + " before"); err != nil {
		return nil, err
	}
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	o.w.before(name, body)
	resp, err := o.base.RoundTrip(req)
	if kerr := o.p.Point(name + " after"); kerr != nil {
		return nil, kerr
	}
	return resp, err
}

// wireNode is a machine over SSH. It answers as long as the machine lives.
type wireNode struct {
	w    *wireWorld
	p    *memcloud.Process
	host string
}

// call is a call over the connection, which is lost where the machine is silent.
func (n wireNode) call(point string) error {
	if err := n.p.Point(point + " before"); err != nil {
		return err
	}
	n.w.before(point, nil)
	if !slices.ContainsFunc(n.w.api.all(), func(in cloud.Instance) bool { return in.ExternalIP == n.host && in.State == cloud.StateRunning }) {
		return memcloud.ErrTimeout
	}
	return n.p.Point(point + " after")
}

func (n wireNode) link(point string) error {
	err := n.call(point)
	if errors.Is(err, memcloud.ErrTimeout) {
		return &remote.LinkError{Err: err, Begun: true}
	}
	return err
}

func (n wireNode) Run(_ context.Context, cmd remote.Command) (int, error) {
	if err := n.link("ssh/run"); err != nil {
		return 0, err
	}
	if cmd.Stdout != nil && strings.Contains(cmd.Script, "ssh-keygen") { // a pod makes its own host key
		_, public, err := remote.NewHostKey()
		if err == nil {
			_, err = io.WriteString(cmd.Stdout, public)
		}
		return 0, err
	}
	return 0, nil
}

func (n wireNode) RunStep(ctx context.Context, _ *remote.Step) (int, error) {
	err := errors.Join(n.link("setup/run"), retry.Pause(ctx, setupTime), n.link("setup/exit"))
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	return n.w.x.setupExit, err
}

func (n wireNode) PutTree(context.Context, string, string, ...string) error {
	return n.link("setup/put")
}

func (wireNode) Close() error { return nil }

func (w *wireWorld) inject(f fakekit.Fault) {
	remove := w.kit.Inject(f)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = append(w.armed, remove)
}
