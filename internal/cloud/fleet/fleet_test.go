// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

func identity(rank int) cloud.Identity {
	return cloud.Identity{Owner: "o", Cluster: "c", Generation: "g", Attempt: 1, Rank: rank}
}

func instance(id string, rank int, state cloud.State) cloud.Instance {
	return cloud.Instance{ID: id, Identity: identity(rank), State: state}
}

func TestCheckSpec(t *testing.T) {
	at := cloud.Placement{Nodes: 2, Offer: cloud.Offer{Cloud: "here", Region: "r"}}
	for want, change := range map[string]func(*cloud.ClusterSpec, *cloud.Placement){
		"":                         func(*cloud.ClusterSpec, *cloud.Placement) {},
		"lacks owner":              func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Ref.Generation = "" },
		"is not on here":           func(_ *cloud.ClusterSpec, at *cloud.Placement) { at.Offer.Cloud = "there" },
		"names no region":          func(_ *cloud.ClusterSpec, at *cloud.Placement) { at.Offer.Region = "" },
		"has no nodes":             func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Nodes = nil },
		"are reserved":             func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Labels = map[string]string{cloud.TagOwner: "p"} },
		"node 1 belongs to":        func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Nodes[1].Identity.Cluster = "d" },
		"rank 0 comes twice":       func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Nodes[1].Identity.Rank = 0 },
		"rank -1 comes twice or i": func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Nodes[1].Identity.Rank = -1 },
	} {
		spec := cloud.ClusterSpec{
			Ref:   cloud.ClusterRef{Owner: "o", Cluster: "c", Generation: "g"},
			Nodes: []cloud.NodeSpec{{Identity: identity(0)}, {Identity: identity(1)}}, Labels: map[string]string{"team": "weather"},
		}
		at := at
		change(&spec, &at)
		if err := checkSpec("here", spec, at); (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("checkSpec = %v, want %q", err, want)
		}
	}
}

func TestParseEndpoint(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://cloud.example.com/x": "", "http://localhost:1": "", "http://127.0.0.1:1": "", "http://[::1]:1": "",
		"http://cloud.example.com": "would send the key unencrypted", "http://127.0.0.1.example.com": "would send the key unencrypted",
		"cloud.example.com": "must be a URL like", "ftp://127.0.0.1": "must be a URL like", "https://a:b@127.0.0.1": "must be a URL like",
		"https://cloud.example.com/?x": "must be a URL like", "https://": "must be a URL like", "": "must be a URL like", "http://127.0.0.1?x=y": "must be a URL like",
	} {
		_, err := ParseEndpoint("endpoint", endpoint, "https://example.com", "the key")
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("ParseEndpoint of %q = %v, want %q", endpoint, err, want)
		}
	}
}

func TestSort(t *testing.T) {
	nodes := []cloud.NodeSpec{{Identity: identity(0)}, {Identity: identity(1)}, {Identity: identity(2)}}
	tests := []struct {
		name   string
		have   []cloud.Instance
		adopt  []string
		create []int
		err    string
	}{
		{name: "nothing", create: []int{0, 1, 2}},
		{name: "in the nodes' order", have: []cloud.Instance{instance("b", 2, cloud.StateStopped), instance("a", 0, cloud.StateRunning)}, adopt: []string{"a", "b"}, create: []int{1}},
		{name: "those that end do not count", have: []cloud.Instance{instance("a", 0, cloud.StateTerminating), instance("z", 7, cloud.StateTerminated)}, create: []int{0, 1, 2}},
		{name: "one beyond the ranks", have: []cloud.Instance{instance("z", 3, cloud.StateRunning)}, err: "z"},
		{name: "one rank twice", have: []cloud.Instance{instance("a", 0, cloud.StateRunning), instance("b", 0, cloud.StatePending)}, err: "b"},
		{name: "neither alive nor gone", have: []cloud.Instance{instance("u", 1, cloud.StateUnknown)}, err: "stuck u"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plan, err := sortNodes(cloud.ClusterRef{Cluster: "c"}, nodes, tt.have,
				func(m cloud.Instance) cloud.Instance { return m },
				func(m cloud.Instance) error { return errors.New("stuck " + m.ID) })
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || len(plan.Adopt)+len(plan.Create) > 0 {
					t.Errorf("sortNodes = %+v, %v; want an error with %q", plan, err, tt.err)
				}
				return
			}
			var adopt []string
			for _, m := range plan.Adopt {
				adopt = append(adopt, m.ID)
			}
			var create []int
			for _, n := range plan.Create {
				create = append(create, n.Identity.Rank)
			}
			if err != nil || !slices.Equal(adopt, tt.adopt) || !slices.Equal(create, tt.create) {
				t.Errorf("sortNodes adopts %v and creates %v, %v; want %v and %v", adopt, create, err, tt.adopt, tt.create)
			}
		})
	}
}

func TestRunning(t *testing.T) {
	stopped, up := instance("s", 0, cloud.StateStopped), instance("u", 1, cloud.StateRunning)
	if _, err := runningOf("c", []cloud.Instance{stopped}); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("none running = %v", err)
	}
	if got, err := runningOf("c", []cloud.Instance{stopped, up}); err != nil || len(got) != 1 || got[0].ID != "u" {
		t.Errorf("runningOf = %+v, %v", got, err)
	}
	got, err := runningOf("c", []cloud.Instance{up, instance("v", 1, cloud.StateRunning)})
	if extra := (*cloud.ExtraNodesError)(nil); !errors.As(err, &extra) || !slices.Equal(extra.Extra, []string{"v"}) || len(got) != 2 {
		t.Errorf("one rank twice = %+v, %v", got, err)
	}
}

type sight string

func (s sight) String() string { return string(s) }

func TestWatch(t *testing.T) {
	passing, lasting := errors.New("passing"), errors.New("lasting")
	watcher := watcher{
		Poll: retry.Policy{Initial: time.Second, Max: time.Second}, Patience: 3,
		Transient: func(err error) bool { return errors.Is(err, passing) },
	}
	tests := []struct {
		name  string
		looks []error // what the looks answer; afterwards all is well
		done  int     // at which good look it is done; 0 is never
		err   error
		text  string
	}{
		{name: "done at the second look", done: 2},
		{name: "trouble that passes", looks: []error{passing, passing, nil, passing, passing}, done: 2},
		{name: "trouble that does not", looks: []error{passing, passing, passing}, done: 1, err: passing},
		{name: "a lasting error", looks: []error{lasting}, done: 1, err: lasting},
		{name: "out of time", err: context.DeadlineExceeded, text: "gave up on two sheep"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				calls, good := 0, 0
				err := watch(ctx, watcher, func(context.Context) (sight, error) {
					calls++
					if calls <= len(tt.looks) && tt.looks[calls-1] != nil {
						return "", tt.looks[calls-1]
					}
					return "two sheep", nil
				}, func(context.Context, sight) (bool, error) {
					good++
					return good == tt.done, nil
				})
				if !errors.Is(err, tt.err) || (err != nil && !strings.Contains(err.Error(), tt.text)) {
					t.Errorf("Watch = %v, want %v with %q", err, tt.err, tt.text)
				}
			})
		})
	}
}

func TestEachGoesOn(t *testing.T) {
	var ran atomic.Int32
	bad := errors.New("bad")
	err := Each(2, []int{1, 2, 3, 4}, func(i int) error {
		ran.Add(1)
		if i%2 == 0 {
			return bad
		}
		return nil
	})
	if !errors.Is(err, bad) || strings.Count(err.Error(), "bad") != 2 || ran.Load() != 4 {
		t.Errorf("Each = %v after %d items, want two errors after four", err, ran.Load())
	}
}

// TestLaunch: after a failure no launch begins, and nothing that began is lost.
func TestLaunch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := make([]cloud.NodeSpec, 6)
		for i := range nodes {
			nodes[i].Identity = identity(i)
		}
		ids, errs := launchEach(2, nodes, func(n cloud.NodeSpec) (string, error) {
			rank := n.Identity.Rank
			<-time.After(time.Duration(2-rank%2) * time.Second) // of the bubble: the odd ones are faster
			switch {
			case rank > 3:
				t.Errorf("rank %d was launched", rank)
			case rank == 2:
				return "i-2", errors.New("not as asked for")
			case rank == 3:
				return "", errors.New("no room")
			}
			return fmt.Sprintf("i-%d", rank), nil
		})
		if !slices.Equal(ids, []string{"i-0", "i-1", "i-2"}) || len(errs) != 2 {
			t.Errorf("launchEach = %v, %v", ids, errs)
		}
	})
}

func TestCheckSingle(t *testing.T) {
	record := cloud.RunRecord{Created: []string{"a"}, Resumed: []string{"b"}, Adopted: []string{"c"}}
	var extra *cloud.ExtraNodesError
	if err := checkSingle(cloud.ClusterRef{}, nil, record, []string{"c", "a", "b"}); err != nil {
		t.Error(err)
	}
	if err := checkSingle(cloud.ClusterRef{}, nil, record, []string{"c", "x"}); !errors.As(err, &extra) || !slices.Equal(extra.Extra, []string{"x"}) {
		t.Errorf("checkSingle = %v", err)
	}
}

func TestCheckPresent(t *testing.T) {
	named := cloud.ClusterRef{Instances: []string{"a", "b"}}
	for _, tt := range []struct {
		ref  cloud.ClusterRef
		ids  []string
		want error
	}{
		{named, []string{"b", "c", "a"}, nil}, {named, []string{"a"}, cloud.ErrNotFound},
		{cloud.ClusterRef{}, []string{"a"}, nil}, {cloud.ClusterRef{}, nil, cloud.ErrNotFound},
	} {
		if err := checkPresent(tt.ref, tt.ids); !errors.Is(err, tt.want) {
			t.Errorf("checkPresent of %v among %v = %v, want %v", tt.ref.Instances, tt.ids, err, tt.want)
		}
	}
}

// TestWaiter: what a wait makes of the looks; each line is a look, and the last
// one says how it ends.
func TestWaiter(t *testing.T) {
	up := func(id string, rank int) cloud.Instance {
		m := instance(id, rank, cloud.StateRunning)
		m.ExternalIP, m.SSHPort = "192.0.2.1", 22
		return m
	}
	committed, odd := up("a", 0), instance("u", 0, cloud.StateUnknown)
	committed.Committed = true
	odd.Reason = "it burns"
	dead, dying := instance("b", 1, cloud.StateTerminated), instance("b", 1, cloud.StateTerminating)
	earlier := dead
	earlier.Identity.Attempt = 0
	show := func(all ...cloud.Instance) lookResult[cloud.Instance] {
		return lookResult[cloud.Instance]{Machines: all}
	}
	late := lookResult[cloud.Instance]{Machines: []cloud.Instance{up("a", 0)}, Unlisted: []cloud.Identity{identity(1)}}
	doubtful := lookResult[cloud.Instance]{Doubtful: true}
	missing := lookResult[cloud.Instance]{Machines: []cloud.Instance{up("a", 0)}, Missing: []string{"b"}}
	type views = []lookResult[cloud.Instance]
	named := cloud.ClusterRef{Cluster: "c", Instances: []string{"a", "b"}}
	for name, tt := range map[string]struct {
		ref   cloud.ClusterRef
		want  cloud.State
		looks views
		end   string // "" is more looks, "done", or an error's text
	}{
		"all there":                         {looks: views{show(up("a", 0), up("b", 1))}, end: "done"},
		"no address yet":                    {looks: views{show(up("a", 0), instance("b", 1, cloud.StateRunning))}},
		"no port yet":                       {looks: views{show(cloud.Instance{ID: "a", State: cloud.StateRunning, ExternalIP: "192.0.2.1"})}},
		"an address is for those that run":  {want: cloud.StateStopped, looks: views{show(instance("a", 0, cloud.StateStopped))}, end: "done"},
		"nobody":                            {looks: views{show(), show()}, end: "no machine to wait for"},
		"nobody once":                       {looks: views{show(), show(up("a", 0))}, end: "done"},
		"nobody, and one may turn up":       {looks: views{doubtful, doubtful, doubtful, doubtful}},
		"one is late":                       {looks: views{late, late, late, late}},
		"one is missing":                    {looks: views{missing, missing, missing}, end: "machines [b] of cluster \"c\" are not there any more"},
		"one is missing for a moment":       {looks: views{missing, missing, show(up("a", 0), up("b", 1))}, end: "done"},
		"one was there":                     {looks: views{show(up("a", 0), instance("b", 1, cloud.StatePending)), show(up("b", 1)), show(up("b", 1)), show(up("b", 1))}, end: "machines [a]"},
		"one dies that was there":           {looks: views{show(committed, instance("b", 1, cloud.StatePending)), show(committed, dying), show(committed, dead)}, end: "stuck b"},
		"one died beside its siblings":      {looks: views{show(up("a", 0), dead), show(up("a", 0), dead)}, end: "stuck b"},
		"one died beside one that is late":  {looks: views{{Machines: []cloud.Instance{dead}, Unlisted: []cloud.Identity{identity(0)}}, {Machines: []cloud.Instance{dead}, Unlisted: []cloud.Identity{identity(0)}}}, end: "stuck b"},
		"a dead one of an earlier attempt":  {looks: views{show(up("a", 0), earlier)}, end: "done"},
		"a dead one that has a successor":   {looks: views{show(up("a", 0), up("b2", 1), dead)}, end: "done"},
		"a dead one beside recorded ones":   {looks: views{show(committed, dead)}, end: "done"},
		"a dead one that was named":         {ref: named, looks: views{show(committed, earlier), show(committed, earlier)}, end: "stuck b"},
		"only dead ones":                    {looks: views{show(earlier), show(earlier)}, end: "stuck b"},
		"a stopped one will not run":        {looks: views{show(instance("a", 0, cloud.StateStopping)), show(instance("a", 0, cloud.StateStopped))}, end: "stuck a"},
		"bad news for a moment":             {looks: views{show(instance("a", 0, cloud.StateStopped)), show(up("a", 0))}, end: "done"},
		"a state nobody knows":              {looks: views{show(instance("u", 0, cloud.StateUnknown)), show(instance("u", 0, cloud.StateUnknown)), show(instance("u", 0, cloud.StateUnknown))}},
		"a state nobody knows for a reason": {looks: views{show(odd), show(odd)}, end: "stuck u"},
	} {
		w := &waiter[cloud.Instance]{
			Want: cmp.Or(tt.want, cloud.StateRunning), Looks: 2, MissingLooks: 3,
			As:    func(m cloud.Instance) cloud.Instance { return m },
			Stuck: func(m cloud.Instance) error { return errors.New("stuck " + m.ID) },
		}
		if tt.ref.Cluster == "" {
			tt.ref.Cluster = "c"
		}
		for i, v := range tt.looks {
			want := ""
			if i == len(tt.looks)-1 {
				want = tt.end
			}
			done, err := w.look(tt.ref, v)
			if done != (want == "done") || (err != nil) != (want != "" && !done) || (err != nil && !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: look %d: %t, %v; want %q", name, i, done, err, want)
				break
			}
		}
	}
}
