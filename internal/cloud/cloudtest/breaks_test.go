// SPDX-License-Identifier: MPL-2.0

package cloudtest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
)

// brk is a broken driver, the case that catches it, and a word of what the case
// says. An empty variant is the cloud that can do everything.
type brk struct {
	what, by, says, variant string
	mutant                  mutant
}

// breaks are the broken drivers. Every case has one at least.
func breaks() []brk {
	return slices.Concat(openBreaks(), launchBreaks(), sentBreaks(), sessionBreaks(), lifeBreaks(), faultBreaks(), ownershipBreaks(), surveyBreaks(), portBreaks(), deadManBreaks())
}

// What mutants are made of.

func in(method string, change func(*cloud.ClusterRef)) mutant {
	return mutant{in: func(called string, ref *cloud.ClusterRef) {
		if called == method {
			change(ref)
		}
	}}
}

func spec(change func(*cloud.ClusterSpec), methods ...string) mutant {
	return mutant{spec: func(called string, s *cloud.ClusterSpec) {
		if len(methods) == 0 || slices.Contains(methods, called) {
			change(s)
		}
	}}
}

// after runs f once a method succeeded; failing turns its error into another.
func after(method string, f func(*broken, cloud.ClusterRef)) mutant {
	return mutant{after: func(d *broken, called string, ref cloud.ClusterRef, err error) error {
		if called == method && err == nil {
			f(d, ref)
		}
		return err
	}}
}

func failing(method string, f func(error) error) mutant {
	return mutant{after: func(_ *broken, called string, _ cloud.ClusterRef, err error) error {
		if called == method {
			return f(err)
		}
		return err
	}}
}

func instead(method string, f func(context.Context, *broken, cloud.ClusterRef) error) mutant {
	return mutant{instead: func(ctx context.Context, d *broken, called string, ref cloud.ClusterRef) (bool, error) {
		if called != method {
			return false, nil
		}
		return true, f(ctx, d, ref)
	}}
}

func nothing(context.Context, *broken, cloud.ClusterRef) error { return nil }

// ran changes what a Run reports, and the world after it.
func ran(f func(d *broken, ref cloud.ClusterRef, cfg cloud.RunConfig, rec *cloud.RunRecord, err error) error) mutant {
	return mutant{ran: f}
}

// born changes the machines that a Run created.
func born(f func(*memcloud.Machine)) mutant {
	return ran(func(d *broken, ref cloud.ClusterRef, _ cloud.RunConfig, rec *cloud.RunRecord, err error) error {
		d.each(ref, func(m *memcloud.Machine) {
			if slices.Contains(rec.Created, m.ID) {
				f(m)
			}
		})
		return err
	})
}

// shown changes machines as Query and Describe show them.
func shown(f func(*cloud.Instance)) mutant {
	return mutant{out: func(_ *broken, _ string, _ cloud.ClusterRef, all []cloud.Instance) []cloud.Instance {
		for i := range all {
			f(&all[i])
		}
		return all
	}}
}

// hidden takes machines out of what one method shows.
func hidden(method string, f func(*broken, cloud.Instance) bool) mutant {
	return mutant{out: func(d *broken, called string, _ cloud.ClusterRef, all []cloud.Instance) []cloud.Instance {
		if called != method {
			return all
		}
		return slices.DeleteFunc(all, func(in cloud.Instance) bool { return f(d, in) })
	}}
}

// rules changes the firewall after a method.
func rules(method string, f func(*memcloud.Group)) mutant {
	return after(method, func(d *broken, ref cloud.ClusterRef) {
		d.groups(ref, func(g *memcloud.Group) {
			if g.Kind == "firewall" {
				f(g)
			}
		})
	})
}

func kill(m *memcloud.Machine) { m.Gone, m.Address = time.Now(), false }

func isNotFound(err error) error {
	if errors.Is(err, cloud.ErrNotFound) {
		return nil
	}
	return err
}

func openBreaks() []brk {
	return []brk{
		{what: "a name in capitals", by: "factory/describes itself", mutant: mutant{name: "Nimbus_1"}},
		{what: "a name too short for an identity", by: "factory/describes itself", mutant: mutant{caps: func(c *cloud.Capabilities) { c.MaxNameLength = 8 }}},
		{what: "spot machines stop, others do not", by: "factory/describes itself", mutant: mutant{caps: func(c *cloud.Capabilities) { c.Stop, c.StopSpot = false, true }}},
		{what: "an option that nobody describes", by: "factory/describes itself", mutant: mutant{options: func(all []cloud.Option) []cloud.Option { all[0].Description = "key"; return all }}},
		{what: "no account", by: "factory/one account", mutant: mutant{open: func(_ cloud.Credentials, s cloud.Session, err error) (cloud.Session, error) {
			s.Account = ""
			return s, err
		}}},
		{what: "an account for each session", by: "factory/one account", mutant: mutant{open: func(_ cloud.Credentials, s cloud.Session, err error) (cloud.Session, error) {
			s.Account = fmt.Sprintf("%p", s.Provisioner)
			return s, err
		}}},
		{what: "takes any key", by: "factory/refuses bad credentials", mutant: mutant{open: func(_ cloud.Credentials, s cloud.Session, _ error) (cloud.Session, error) { return s, nil }}},
		{what: "quotes the key", by: "factory/refuses bad credentials", mutant: mutant{open: func(creds cloud.Credentials, s cloud.Session, err error) (cloud.Session, error) {
			if err != nil {
				err = fmt.Errorf("the key %s: %w", creds.Values["key"], err)
			}
			return s, err
		}}},
		{what: "a wrong key is no matter of credentials", by: "factory/refuses bad credentials", mutant: mutant{open: func(_ cloud.Credentials, s cloud.Session, err error) (cloud.Session, error) {
			if err != nil {
				err = memcloud.ErrServer
			}
			return s, err
		}}},
		{what: "empty error table", by: "classify/table", mutant: mutant{rows: func([]cloudtest.ErrorRow) []cloudtest.ErrorRow { return nil }}},
		{what: "an error table without quota", by: "classify/table", mutant: mutant{rows: func(all []cloudtest.ErrorRow) []cloudtest.ErrorRow {
			return slices.DeleteFunc(all, func(r cloudtest.ErrorRow) bool { return r.Want.Kind == cloud.KindQuota })
		}}},
		{what: "classify knows nothing", by: "classify/anything", mutant: mutant{classify: func(error) cloud.Fault { return cloud.Fault{} }}},
		{what: "classify takes everything for passing", by: "classify/anything", mutant: mutant{classify: func(error) cloud.Fault {
			return cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}
		}}},
		{what: "classify only bare errors", by: "classify/table", mutant: mutant{classify: func(err error) cloud.Fault {
			if fault, ok := memcloud.Rows()[err]; ok {
				return fault
			}
			return cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
		}}},
	}
}

func launchBreaks() []brk {
	return []brk{
		{what: "bootstrap makes more", by: "bootstrap/twice", mutant: after("Bootstrap", func(d *broken, ref cloud.ClusterRef) {
			d.Mu.Lock()
			defer d.Mu.Unlock()
			d.Groups = append(d.Groups, &memcloud.Group{Kind: "key", Owner: cloud.Identity{Owner: ref.Owner, Cluster: ref.Cluster, Generation: ref.Generation}})
		})},
		{what: "bootstrap launches", by: "bootstrap/twice", says: "costs money", mutant: after("Bootstrap", func(d *broken, ref cloud.ClusterRef) {
			d.Mu.Lock()
			defer d.Mu.Unlock()
			d.Add(cloud.Identity{Owner: ref.Owner, Cluster: ref.Cluster, Generation: ref.Generation, Attempt: 99}, cloud.Placement{}, time.Time{}, 0)
		})},
		{what: "takes reserved labels", by: "run/refuses reserved labels", mutant: spec(func(s *cloud.ClusterSpec) {
			maps.DeleteFunc(s.Labels, func(k, _ string) bool { return strings.HasPrefix(k, cloud.TagPrefix) })
		})},
		{what: "run duplicates", by: "run/to n and again", mutant: again(func(cloud.RunRecord) bool { return true })},
		{what: "run reports the adopted as created", by: "run/to n and again", mutant: ran(func(_ *broken, _ cloud.ClusterRef, _ cloud.RunConfig, rec *cloud.RunRecord, err error) error {
			rec.Created, rec.Adopted = append(rec.Created, rec.Adopted...), nil
			return err
		})},
		{what: "run ignores extra nodes", by: "run/more nodes than asked", mutant: ran(func(_ *broken, _ cloud.ClusterRef, _ cloud.RunConfig, _ *cloud.RunRecord, err error) error {
			if errors.As(err, new(*cloud.ExtraNodesError)) {
				return nil
			}
			return err
		})},
		{what: "run deletes extra nodes", by: "run/more nodes than asked", says: "Query", mutant: ran(func(d *broken, ref cloud.ClusterRef, _ cloud.RunConfig, _ *cloud.RunRecord, err error) error {
			if extra := (*cloud.ExtraNodesError)(nil); errors.As(err, &extra) {
				d.each(ref, func(m *memcloud.Machine) {
					if slices.Contains(extra.Extra, m.ID) {
						kill(m)
					}
				})
			}
			return err
		})},
		{what: "run names one extra node of two", by: "run/more nodes than asked", says: "names", mutant: ran(func(_ *broken, _ cloud.ClusterRef, _ cloud.RunConfig, _ *cloud.RunRecord, err error) error {
			if extra := (*cloud.ExtraNodesError)(nil); errors.As(err, &extra) {
				extra.Extra = extra.Extra[:1]
			}
			return err
		})},
		{what: "run creates beside extra nodes", by: "run/more nodes than asked", mutant: ran(func(d *broken, _ cloud.ClusterRef, cfg cloud.RunConfig, rec *cloud.RunRecord, err error) error {
			if errors.As(err, new(*cloud.ExtraNodesError)) {
				d.Mu.Lock()
				defer d.Mu.Unlock()
				rec.Created = append(rec.Created, d.Add(cfg.Spec.Nodes[1].Identity, cfg.Placement, time.Time{}, 0).ID)
			}
			return err
		})},
		{what: "run ignores the context", by: "run/cancelled before it began", mutant: mutant{instead: func(ctx context.Context, _ *broken, method string, _ cloud.ClusterRef) (bool, error) {
			return method == "Run" && ctx.Err() != nil, nil
		}}},
		{what: "labels are only added", by: "run/labels converge", mutant: mutant{in: nil, ran: func(d *broken, ref cloud.ClusterRef, cfg cloud.RunConfig, _ *cloud.RunRecord, err error) error {
			d.each(ref, func(m *memcloud.Machine) {
				if _, ok := cfg.Spec.Labels["drop"]; !ok {
					m.Labels["drop"] = "x"
				}
			})
			return err
		}}},
		{what: "labels stay as at launch", by: "run/labels converge", mutant: mutant{ran: func(d *broken, ref cloud.ClusterRef, _ cloud.RunConfig, rec *cloud.RunRecord, err error) error {
			d.each(ref, func(m *memcloud.Machine) {
				if slices.Contains(rec.Adopted, m.ID) {
					m.Labels = map[string]string{"keep": "1", "change": "old", "drop": "x"}
				}
			})
			return err
		}}},
		{what: "names collide", by: "run/long and awkward name", mutant: spec(func(s *cloud.ClusterSpec) {
			for i := range s.Nodes {
				s.Nodes[i].Identity.Cluster = cloud.Slug(s.Nodes[i].Identity.Cluster)
			}
		})},
		{what: "long names are cut", by: "run/long and awkward name", mutant: spec(func(s *cloud.ClusterSpec) {
			for i := range s.Nodes {
				n := &s.Nodes[i].Identity
				n.Cluster = n.Cluster[:min(len(n.Cluster), 40)]
			}
		})},
		{what: "spot is on demand", by: "run/spot", mutant: born(func(m *memcloud.Machine) { m.Market = cloud.OnDemand })},
		{what: "another type", by: "run/one machine", mutant: born(func(m *memcloud.Machine) { m.Type = "large" })},
		{what: "another zone", by: "run/one machine", mutant: shown(func(i *cloud.Instance) { i.Zone = "here-1b" })},
		{what: "no time of creation", by: "run/one machine", mutant: shown(func(i *cloud.Instance) { i.CreatedAt = time.Time{} })},
		{what: "no port of SSH", by: "run/one machine", mutant: shown(func(i *cloud.Instance) { i.SSHPort = 0 })},
		{what: "no address inside", by: "run/one machine", says: "other nodes", mutant: shown(func(i *cloud.Instance) { i.InternalIP = "" })},
		{what: "born committed", by: "run/one machine", mutant: born(func(m *memcloud.Machine) { m.Committed = true })},
		{what: "describe is out of order", by: "run/more nodes later", mutant: mutant{out: func(_ *broken, method string, _ cloud.ClusterRef, all []cloud.Instance) []cloud.Instance {
			if method == "Describe" {
				slices.Reverse(all)
			}
			return all
		}}},
		{what: "growing makes all anew", by: "run/more nodes later", mutant: again(func(r cloud.RunRecord) bool { return len(r.Adopted) > 0 })},
		{what: "two calls at once make two machines", by: "run/at once from two sides", variant: "no tokens", mutant: again(func(r cloud.RunRecord) bool { return len(r.Created) > 0 })},
	}
}

// again makes the cluster's machine of rank 0 once more, by a Run that was such.
func again(such func(cloud.RunRecord) bool) mutant {
	return ran(func(d *broken, _ cloud.ClusterRef, cfg cloud.RunConfig, rec *cloud.RunRecord, err error) error {
		if err == nil && such(*rec) {
			d.Mu.Lock()
			defer d.Mu.Unlock()
			d.Add(cfg.Spec.Nodes[0].Identity, cfg.Placement, cfg.Spec.Deadline, 0)
		}
		return err
	})
}

func sentBreaks() []brk {
	return []brk{
		{what: "user data is not sent", by: "sent/user data of each node", mutant: born(func(m *memcloud.Machine) { m.Sent.UserData = nil })},
		{what: "every node gets the user data of rank 0", by: "sent/user data of each node", mutant: spec(func(s *cloud.ClusterSpec) {
			for i := range s.Nodes {
				s.Nodes[i].UserData = s.Nodes[0].UserData
			}
		})},
		{what: "user data loses what is not ASCII", by: "sent/user data of each node", mutant: born(func(m *memcloud.Machine) {
			m.Sent.UserData = slices.DeleteFunc(m.Sent.UserData, func(b byte) bool { return b >= 0x80 })
		})},
		{what: "keys are not sent", by: "sent/SSH user and keys", mutant: born(func(m *memcloud.Machine) { m.Sent.AuthorizedKeys = nil })},
		{what: "the SSH user is the driver's own", by: "sent/SSH user and keys", mutant: spec(func(s *cloud.ClusterSpec) { s.SSHUser = "" }, "Bootstrap")},
		{what: "a key of the user's is registered once and removed with the first cluster", by: "sent/one user's key in two clusters", mutant: after("CleanupPorts", func(d *broken, _ cloud.ClusterRef) {
			d.Mu.Lock()
			defer d.Mu.Unlock()
			d.Groups = slices.DeleteFunc(d.Groups, func(g *memcloud.Group) bool { return g.Kind == "key" })
		})},
		{what: "a key of the user's is registered for each cluster, where that is refused", by: "sent/one user's key in two clusters", mutant: mutant{
			instead: func(_ context.Context, d *broken, method string, ref cloud.ClusterRef) (bool, error) {
				d.Mu.Lock()
				defer d.Mu.Unlock()
				other := slices.ContainsFunc(d.Groups, func(g *memcloud.Group) bool { return g.Kind == "key" && g.Owner.Generation != ref.Generation })
				if method == "Bootstrap" && other {
					return true, memcloud.ErrConfig
				}
				return false, nil
			},
		}},
		{what: "the image is always the default", by: "sent/image asked for", mutant: spec(func(s *cloud.ClusterSpec) { s.Image = "" })},
		{what: "the image is never the default", by: "sent/image asked for", mutant: spec(func(s *cloud.ClusterSpec) { s.Image = memcloud.OtherImage })},
		{what: "an unknown image is the default", by: "sent/unknown image", mutant: spec(func(s *cloud.ClusterSpec) { s.Image = "" })},
		{what: "an unknown image is the place's fault", by: "sent/unknown image", mutant: failing("Bootstrap", func(err error) error {
			if err != nil {
				return memcloud.ErrCapacity
			}
			return nil
		})},
		{what: "the disk is always the default", by: "sent/disk asked for", mutant: spec(func(s *cloud.ClusterSpec) { s.DiskGiB = 0 })},
		{what: "nodes are closed to one another", by: "network/nodes reach one another", mutant: rules("Bootstrap", func(g *memcloud.Group) { g.Inside = false })},
		{what: "open ports close the nodes to one another", by: "network/nodes reach one another", mutant: rules("OpenPorts", func(g *memcloud.Group) { g.Inside = false })},
		{what: "no way out", by: "network/nodes reach the outside", mutant: rules("Bootstrap", func(g *memcloud.Group) { g.Outside = false })},
	}
}

func sessionBreaks() []brk {
	own := func(d *broken, in cloud.Instance) bool { return !d.launched.has(in.ID) }
	return []brk{
		{what: "an inventory that is blind but for the driver's memory", by: "session/another sees what the first launched", mutant: hidden("Query", own)},
		{what: "describe is blind but for the driver's memory", by: "session/another sees what the first launched", mutant: hidden("Describe", own)},
		{what: "an inventory without ids is blind", by: "session/another sees what the first launched", mutant: mutant{
			out: func(_ *broken, method string, ref cloud.ClusterRef, all []cloud.Instance) []cloud.Instance {
				if method == "Query" && ref.Cluster == "" {
					return nil
				}
				return all
			},
		}},
		{what: "the inventory needs a generation", by: "session/another sees what the first launched", mutant: mutant{
			out: func(_ *broken, method string, ref cloud.ClusterRef, all []cloud.Instance) []cloud.Instance {
				if method == "Query" && ref.Generation == "" && ref.Cluster != "" {
					return nil
				}
				return all
			},
		}},
		{what: "the mark is the driver's memory", by: "session/another sees what the first launched", mutant: mutant{
			out: func(d *broken, _ string, _ cloud.ClusterRef, all []cloud.Instance) []cloud.Instance {
				for i := range all {
					all[i].Committed = all[i].Committed && d.launched.has(all[i].ID)
				}
				return all
			},
		}},
		{what: "terminate removes what the driver remembers", by: "session/another adopts and removes", mutant: mutant{
			instead: func(_ context.Context, d *broken, method string, _ cloud.ClusterRef) (bool, error) {
				return method == "Terminate" && d.launched.none(), nil
			},
		}},
		{what: "another session makes a machine of its own", by: "session/another adopts and removes", mutant: ran(func(d *broken, _ cloud.ClusterRef, cfg cloud.RunConfig, rec *cloud.RunRecord, err error) error {
			if d.launched.none() {
				d.Mu.Lock()
				defer d.Mu.Unlock()
				rec.Created, rec.Adopted = []string{d.Add(cfg.Spec.Nodes[0].Identity, cfg.Placement, time.Time{}, 0).ID}, nil
			}
			return err
		})},
		{what: "ports are opened on what the driver remembers", by: "session/another adopts and removes", mutant: mutant{
			instead: func(_ context.Context, d *broken, method string, _ cloud.ClusterRef) (bool, error) {
				return method == "OpenPorts" && d.launched.none(), nil
			},
		}},
		{what: "sessions do not give way", by: "session/at once from several", variant: "no tokens", mutant: mutant{driver: func(d *memcloud.Driver) { d.Stubborn = true }}},
		{what: "sessions do not give way, by nodes", by: "session/nodes at once from several", variant: "no tokens", mutant: mutant{driver: func(d *memcloud.Driver) { d.Stubborn = true }}},
		{what: "the session that gave way reports its own", by: "session/at once from several", variant: "no tokens", says: "reports", mutant: ran(func(_ *broken, _ cloud.ClusterRef, _ cloud.RunConfig, rec *cloud.RunRecord, err error) error {
			if len(rec.Adopted) > 0 && len(rec.Created) == 0 {
				rec.Created, rec.Adopted = []string{"i-4711"}, nil
			}
			return err
		})},
		{what: "every session removes the others'", by: "session/nodes at once from several", variant: "no tokens", mutant: ran(func(d *broken, ref cloud.ClusterRef, _ cloud.RunConfig, rec *cloud.RunRecord, err error) error {
			d.each(ref, func(m *memcloud.Machine) {
				if slices.Contains(rec.Adopted, m.ID) && len(rec.Created) == 0 && d.launched.none() {
					kill(m)
				}
			})
			return err
		})},
		{what: "what no list shows is made again", by: "lag/run again", variant: "no tokens", mutant: mutant{driver: func(d *memcloud.Driver) { d.Forgetful, d.Stubborn = true, true }}},
		{what: "what no list shows is dead to Wait", by: "lag/run again", mutant: mutant{instead: missing("Wait for running")}},
		{what: "what no list shows is dead to Commit", by: "lag/commit and terminate", says: "Commit", mutant: mutant{instead: missing("Commit")}},
		{what: "what no list shows is removed already", by: "lag/commit and terminate", mutant: mutant{driver: func(d *memcloud.Driver) { d.Forgetful = true }}},
		{what: "another session makes what no list shows", by: "lag/another session", variant: "no tokens", mutant: mutant{driver: func(d *memcloud.Driver) { d.Stubborn = true }}},
	}
}

// missing fails a method on machines that lists do not show.
func missing(method string) func(context.Context, *broken, string, cloud.ClusterRef) (bool, error) {
	return func(_ context.Context, d *broken, called string, ref cloud.ClusterRef) (bool, error) {
		late := false
		d.each(ref, func(m *memcloud.Machine) { late = late || time.Now().Before(m.Visible) })
		if called == method && late {
			return true, cloud.ErrNotFound
		}
		return false, nil
	}
}

func lifeBreaks() []brk {
	return []brk{
		{what: "describe of nothing succeeds", by: "life/absent cluster", says: "Describe", mutant: failing("Describe", isNotFound)},
		{what: "commit of nothing succeeds", by: "life/absent cluster", says: "Commit", mutant: failing("Commit", isNotFound)},
		{what: "stop of nothing succeeds", by: "life/absent cluster", says: "Stop", mutant: failing("Stop", isNotFound)},
		{what: "terminate of nothing fails", by: "life/absent cluster", says: "Terminate", mutant: mutant{
			instead: func(_ context.Context, d *broken, method string, ref cloud.ClusterRef) (bool, error) {
				n := 0
				d.each(ref, func(*memcloud.Machine) { n++ })
				if method == "Terminate" && n == 0 {
					return true, cloud.ErrNotFound
				}
				return false, nil
			},
		}},
		{what: "wait for the end of nothing fails", by: "life/absent cluster", says: "Wait", mutant: failing("Wait for terminated", func(error) error { return cloud.ErrNotFound })},
		{what: "query without an owner shows nothing", by: "life/no owner", says: "Query", mutant: ownerless("Query")},
		{what: "terminate without an owner does nothing", by: "life/no owner", says: "Terminate", mutant: ownerless("Terminate")},
		{what: "cleanup without an owner does nothing", by: "life/no owner", says: "CleanupPorts", mutant: ownerless("CleanupPorts")},
		{what: "query shows the dead", by: "life/terminate twice", mutant: mutant{out: func(d *broken, method string, ref cloud.ClusterRef, all []cloud.Instance) []cloud.Instance {
			d.each(ref, func(m *memcloud.Machine) {
				if method == "Query" && !m.Alive(time.Now()) {
					dead := m.Instance
					dead.State = cloud.StateTerminated
					all = append(all, dead)
				}
			})
			return all
		}}},
		{what: "terminate leaves one", by: "life/terminate twice", mutant: in("Terminate", func(ref *cloud.ClusterRef) {
			if ref.Instances == nil {
				ref.Instances = []string{"i-1"}
			}
		})},
		{what: "terminate leaves disks", by: "life/terminate twice", mutant: after("Terminate", func(d *broken, ref cloud.ClusterRef) {
			d.each(ref, func(m *memcloud.Machine) { m.LeavesDisk = true })
		})},
		{what: "terminate leaves addresses that are paid for", by: "life/terminate twice", mutant: after("Terminate", func(d *broken, ref cloud.ClusterRef) {
			d.each(ref, func(m *memcloud.Machine) { m.Address = true })
		})},
		{what: "terminate returns early", by: "life/terminate at once", mutant: instead("Terminate", func(_ context.Context, d *broken, ref cloud.ClusterRef) error {
			d.each(ref, func(m *memcloud.Machine) { m.Gone, m.Address = time.Now().Add(time.Second), false })
			return nil
		})},
		{what: "terminate misses what does not run yet", by: "life/terminate at once", mutant: mutant{
			instead: func(_ context.Context, d *broken, method string, ref cloud.ClusterRef) (bool, error) {
				waited := true
				d.each(ref, func(m *memcloud.Machine) { waited = waited && m.CreatedAt.Before(time.Now().Add(-time.Millisecond)) })
				return method == "Terminate" && !waited, nil
			},
		}},
		{what: "terminate misses the stopped", by: "life/terminate stopped", mutant: mutant{
			instead: func(_ context.Context, d *broken, method string, ref cloud.ClusterRef) (bool, error) {
				stopped := false
				d.each(ref, func(m *memcloud.Machine) { stopped = stopped || !m.StoppedAt.IsZero() })
				return method == "Terminate" && stopped, nil
			},
		}},
		{what: "terminate ignores Instances", by: "life/terminate some", mutant: in("Terminate", func(ref *cloud.ClusterRef) { ref.Instances = nil })},
		{what: "terminate of no instances is of all", by: "life/terminate some", says: "no instances", mutant: in("Terminate", func(ref *cloud.ClusterRef) {
			if len(ref.Instances) == 0 {
				ref.Instances = nil
			}
		})},
		{what: "query ignores Instances", by: "life/terminate some", says: "narrowed", mutant: in("Query", func(ref *cloud.ClusterRef) { ref.Instances = nil })},
		{what: "a cancelled terminate says that it is done", by: "life/terminate cancelled", mutant: failing("Terminate", func(err error) error {
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		})},
		{what: "a cancelled terminate goes on and on", by: "life/terminate cancelled", says: "did not return", mutant: mutant{
			instead: func(ctx context.Context, _ *broken, method string, _ cloud.ClusterRef) (bool, error) {
				if method == "Terminate" && ctx.Err() != nil {
					<-time.After(time.Hour) // virtual
				}
				return false, nil
			},
		}},
		{what: "stopped machines are always resumed", by: "life/change while stopped", mutant: spec(func(s *cloud.ClusterSpec) { s.LeaveStopped = false })},
		{what: "stopped machines keep their labels", by: "life/change while stopped", says: "labels", mutant: spec(func(s *cloud.ClusterSpec) {
			if s.LeaveStopped {
				s.Labels = map[string]string{"team": "weather", "purpose": "conformance"}
			}
		}, "Run")},
		{what: "stop terminates", by: "life/stop and resume", mutant: instead("Stop", func(_ context.Context, d *broken, ref cloud.ClusterRef) error {
			d.each(ref, kill)
			return nil
		})},
		{what: "stop loses the disk", by: "life/stop and resume", mutant: after("Stop", func(d *broken, ref cloud.ClusterRef) {
			d.each(ref, func(m *memcloud.Machine) { m.DiskGone = true })
		})},
		{what: "stop does nothing", by: "life/stop and resume", mutant: mutant{instead: func(_ context.Context, d *broken, method string, ref cloud.ClusterRef) (bool, error) {
			n := 0
			d.each(ref, func(*memcloud.Machine) { n++ })
			return method == "Stop" && n > 0, nil
		}}},
		{what: "stop returns early", by: "life/stop and resume", mutant: instead("Stop", func(_ context.Context, d *broken, ref cloud.ClusterRef) error {
			d.each(ref, func(m *memcloud.Machine) { m.StoppedAt = time.Now().Add(time.Minute) })
			return nil
		})},
		{what: "describe shows the stopped", by: "life/stop and resume", says: "Describe", mutant: failing("Describe", isNotFound)},
		{what: "resume makes a new one", by: "life/stop and resume", mutant: ran(func(d *broken, ref cloud.ClusterRef, _ cloud.RunConfig, rec *cloud.RunRecord, err error) error {
			d.each(ref, func(m *memcloud.Machine) {
				if slices.Contains(rec.Resumed, m.ID) {
					kill(m)
				}
			})
			rec.Created, rec.Resumed = rec.Resumed, nil
			return err
		})},
		{what: "stop ignores Instances", by: "life/stop some", mutant: in("Stop", func(ref *cloud.ClusterRef) { ref.Instances = nil })},
		{what: "run obeys Instances", by: "life/stop some", says: "Run", mutant: mutant{instead: func(_ context.Context, _ *broken, method string, ref cloud.ClusterRef) (bool, error) {
			return method == "Run" && ref.Instances != nil, nil
		}}},
		{what: "stop of what cannot stop", by: "life/cannot stop", variant: "little", mutant: instead("Stop", nothing)},
		{what: "stop of what cannot stop, which it tries all the same", by: "life/cannot stop", variant: "little", says: "machine", mutant: mutant{
			after: func(d *broken, method string, ref cloud.ClusterRef, err error) error {
				if method == "Stop" {
					d.each(ref, func(m *memcloud.Machine) { m.StoppedAt = time.Now() })
				}
				return err
			},
		}},
		{what: "stop of spot machines that cannot stop", by: "life/cannot stop spot", mutant: instead("Stop", nothing)},
		{what: "stop of spot machines refuses", by: "life/stop and resume spot", variant: "spot stops", mutant: failing("Stop", func(error) error { return memcloud.ErrConfig })},
		{what: "query ignores the region", by: "life/query by place", mutant: in("Query", func(ref *cloud.ClusterRef) { ref.Region, ref.Zone = "", "" })},
		{what: "wait ignores the context", by: "wait/cancelled", mutant: mutant{instead: func(ctx context.Context, d *broken, method string, ref cloud.ClusterRef) (bool, error) {
			if method != "Wait for terminated" {
				return false, nil
			}
			return true, d.Driver.Wait(context.WithoutCancel(ctx), cloud.ClusterRef{Owner: ref.Owner, Instances: []string{}}, cloud.StateRunning)
		}}},
		{what: "a cancelled wait is success", by: "wait/cancelled", mutant: failing("Wait for terminated", func(error) error { return nil })},
		{what: "wait ignores death", by: "wait/machine died", mutant: in("Wait for running", func(ref *cloud.ClusterRef) { ref.Instances = nil })},
		{what: "wait waits for the dead", by: "wait/machine died", says: "did not return", mutant: mutant{instead: func(ctx context.Context, d *broken, method string, ref cloud.ClusterRef) (bool, error) {
			dead := false
			d.each(ref, func(m *memcloud.Machine) { dead = dead || !m.Gone.IsZero() })
			if method == "Wait for running" && dead {
				<-ctx.Done()
				return true, ctx.Err()
			}
			return false, nil
		}}},
		{what: "wait for the end returns at once", by: "wait/until gone", says: "before", mutant: instead("Wait for terminated", nothing)},
		{what: "wait for the end never ends", by: "wait/until gone", says: "did not return", mutant: instead("Wait for terminated", func(ctx context.Context, _ *broken, _ cloud.ClusterRef) error {
			<-ctx.Done()
			return ctx.Err()
		})},
	}
}

// ownerless lets a method take a reference without an owner.
func ownerless(method string) mutant {
	return mutant{instead: func(_ context.Context, _ *broken, called string, ref cloud.ClusterRef) (bool, error) {
		return called == method && ref.Owner == "", nil
	}}
}

func faultBreaks() []brk {
	lost := func(d *broken, ref cloud.ClusterRef, cfg cloud.RunConfig) {
		d.Mu.Lock()
		defer d.Mu.Unlock()
		d.Add(cloud.Identity{Owner: ref.Owner, Cluster: "lost", Generation: ref.Generation}, cfg.Placement, time.Time{}, 0)
	}
	return []brk{
		{what: "want of capacity is success", by: "fault/no capacity", mutant: failing("Run", func(error) error { return nil })},
		{what: "want of capacity is in passing", by: "fault/no capacity", says: "classified", mutant: failing("Run", func(err error) error {
			if err != nil {
				return memcloud.ErrServer
			}
			return nil
		})},
		{what: "the code of a refusal is lost", by: "fault/no capacity", says: "classified", mutant: failing("Run", func(err error) error {
			if err != nil {
				return errors.New(err.Error())
			}
			return nil
		})},
		{what: "partial record is lost", by: "fault/partial launch", mutant: ran(func(_ *broken, _ cloud.ClusterRef, _ cloud.RunConfig, rec *cloud.RunRecord, err error) error {
			if err != nil {
				*rec = cloud.RunRecord{}
			}
			return err
		})},
		{what: "partial launch is success", by: "fault/partial launch", mutant: ran(func(_ *broken, _ cloud.ClusterRef, _ cloud.RunConfig, _ *cloud.RunRecord, _ error) error { return nil })},
		{what: "a partial launch cannot be completed", by: "fault/partial launch completed", mutant: ran(func(_ *broken, _ cloud.ClusterRef, _ cloud.RunConfig, rec *cloud.RunRecord, err error) error {
			if len(rec.Adopted) > 0 && len(rec.Created) > 0 {
				return &cloud.ExtraNodesError{Extra: rec.Adopted}
			}
			return err
		})},
		{what: "a partial launch is removed", by: "fault/partial launch completed", mutant: ran(func(d *broken, ref cloud.ClusterRef, _ cloud.RunConfig, _ *cloud.RunRecord, err error) error {
			if err != nil {
				d.each(ref, kill)
			}
			return err
		})},
		{what: "lost answer launches again", by: "fault/answer lost", mutant: ran(func(d *broken, ref cloud.ClusterRef, cfg cloud.RunConfig, _ *cloud.RunRecord, err error) error {
			lost(d, ref, cfg)
			return err
		})},
		{what: "a lost answer launches again where there are no tokens", by: "fault/answer lost", variant: "no tokens", mutant: mutant{driver: func(d *memcloud.Driver) { d.Stubborn = true }}},
		{what: "a lost answer is final", by: "fault/answer lost", mutant: mutant{driver: func(d *memcloud.Driver) { d.Attempts = 1 }, classify: func(err error) cloud.Fault {
			if errors.Is(err, memcloud.ErrTimeout) {
				return cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
			}
			return memcloud.Classify(err)
		}}},
		{what: "launches all at once, and gives up where one is taken at a time", by: "fault/one launch at a time", mutant: mutant{driver: func(d *memcloud.Driver) { d.Attempts = 1 }}},
		{what: "what gets no capacity late is waited for", by: "fault/late capacity", mutant: mutant{instead: func(ctx context.Context, _ *broken, method string, _ cloud.ClusterRef) (bool, error) {
			if method == "Wait for running" {
				<-ctx.Done()
				return true, ctx.Err()
			}
			return false, nil
		}}},
		{what: "what gets no capacity late runs", by: "fault/late capacity", mutant: instead("Wait for running", nothing)},
		{what: "what gets no capacity late died of something", by: "fault/late capacity", says: "classified", mutant: failing("Wait for running", func(err error) error {
			if err != nil {
				return errors.New("the machine is gone")
			}
			return nil
		})},
		{what: "wait is content without an address", by: "fault/late address", mutant: mutant{
			after: func(d *broken, method string, ref cloud.ClusterRef, err error) error {
				if method == "Wait for running" {
					d.each(ref, func(m *memcloud.Machine) { m.Addressed = time.Now().Add(time.Minute) })
				}
				return err
			},
		}},
		{what: "a lost node's rank cannot be made anew", by: "fault/node lost", mutant: ran(func(_ *broken, _ cloud.ClusterRef, _ cloud.RunConfig, rec *cloud.RunRecord, err error) error {
			if len(rec.Adopted) == 2 {
				return cloud.ErrSpent
			}
			return err
		})},
		{what: "the new attempt has the old one's identity", by: "fault/node lost", mutant: shown(func(in *cloud.Instance) { in.Identity.Attempt = 0 })},
		{what: "spent identity is reported", by: "fault/spent identity", mutant: ran(func(d *broken, ref cloud.ClusterRef, _ cloud.RunConfig, rec *cloud.RunRecord, err error) error {
			if errors.Is(err, cloud.ErrSpent) {
				d.each(ref, func(m *memcloud.Machine) { rec.Created = append(rec.Created, m.ID) })
				return nil
			}
			return err
		})},
		{what: "spent identity is no matter of identities", by: "fault/spent identity", mutant: failing("Run", func(err error) error {
			if errors.Is(err, cloud.ErrSpent) {
				return memcloud.ErrConfig
			}
			return err
		})},
	}
}

func ownershipBreaks() []brk {
	return []brk{
		{what: "identity loses the attempt", by: "ownership/identity round trip", mutant: shown(func(in *cloud.Instance) { in.Identity.Attempt = 0 })},
		{what: "identity is cut to one digit", by: "ownership/identity round trip", mutant: shown(func(in *cloud.Instance) { in.Identity.Attempt %= 10 })},
		{what: "host keys are forgotten", by: "ownership/host key and notes", mutant: shown(func(in *cloud.Instance) { in.HostKey = "" })},
		{what: "host keys come at launch only", by: "ownership/host key and notes", mutant: mutant{spec: func(method string, s *cloud.ClusterSpec) {
			for i := range s.Nodes {
				if method == "Run" && strings.HasPrefix(s.Nodes[i].HostKey, laterKey()) {
					s.Nodes[i].HostKey = ""
				}
			}
		}}},
		{what: "notes are forgotten", by: "ownership/host key and notes", mutant: shown(func(in *cloud.Instance) { in.Notes = nil })},
		{what: "a new label takes the host key", by: "ownership/host key and notes", mutant: ran(func(d *broken, ref cloud.ClusterRef, cfg cloud.RunConfig, _ *cloud.RunRecord, err error) error {
			if cfg.Spec.Labels["team"] == "other" && len(cfg.Spec.Notes) == 0 {
				d.each(ref, func(m *memcloud.Machine) { m.HostKey = "" })
			}
			return err
		})},
		{what: "the reserved tags show among the labels", by: "ownership/host key and notes", says: "label", mutant: shown(func(in *cloud.Instance) { in.Labels[cloud.TagRuntime] = "ssh" })},
		{what: "query leaks foreign", by: "ownership/foreign machines next door", mutant: mutant{out: func(d *broken, method string, ref cloud.ClusterRef, all []cloud.Instance) []cloud.Instance {
			d.Mu.Lock()
			defer d.Mu.Unlock()
			for _, m := range d.Machines {
				if method == "Query" && m.Tags[cloud.TagOwner] == ref.Owner && m.Alive(time.Now()) {
					all = append(all, m.View(time.Now()))
				}
			}
			return all
		}}},
		{what: "terminate takes what lies next door", by: "ownership/foreign machines next door", says: "foreign", mutant: after("Terminate", func(d *broken, _ cloud.ClusterRef) {
			d.each(cloud.ClusterRef{Owner: "somebody-else"}, kill)
		})},
		{what: "stop takes what lies next door", by: "ownership/foreign machines next door", says: "foreign", mutant: after("Stop", func(d *broken, _ cloud.ClusterRef) {
			d.each(cloud.ClusterRef{}, func(m *memcloud.Machine) { m.StoppedAt = time.Now() })
		})},
		{what: "terminate takes foreign ids", by: "ownership/foreign id refused", mutant: instead("Terminate", func(_ context.Context, d *broken, ref cloud.ClusterRef) error {
			d.Mu.Lock()
			defer d.Mu.Unlock()
			for _, m := range d.Machines {
				if slices.Contains(ref.Instances, m.ID) {
					kill(m)
				}
			}
			return nil
		})},
		{what: "terminate removes its own beside foreign ids", by: "ownership/foreign id refused", says: "Query", mutant: mutant{after: func(d *broken, method string, ref cloud.ClusterRef, err error) error {
			if method == "Terminate" && err != nil {
				d.each(ref, kill)
			}
			return err
		}}},
		{what: "terminate overlooks foreign ids", by: "ownership/foreign id refused", mutant: failing("Terminate", func(error) error { return nil })},
		{what: "terminate ignores the generation", by: "ownership/other generation untouched", mutant: in("Terminate", func(ref *cloud.ClusterRef) { ref.Generation = "" })},
		{what: "cleanup ignores the generation", by: "ownership/other generation untouched", mutant: instead("CleanupPorts", func(_ context.Context, d *broken, ref cloud.ClusterRef) error {
			d.Mu.Lock()
			defer d.Mu.Unlock()
			d.Groups = slices.DeleteFunc(d.Groups, func(g *memcloud.Group) bool { return g.Owner.Owner == ref.Owner && g.Owner.Cluster == ref.Cluster })
			return nil
		})},
		{what: "terminate takes the whole owner", by: "ownership/other cluster untouched", mutant: in("Terminate", func(ref *cloud.ClusterRef) { ref.Cluster, ref.Generation = "", "" })},
		{what: "terminate takes clusters whose name begins so", by: "ownership/other cluster untouched", mutant: after("Terminate", func(d *broken, ref cloud.ClusterRef) {
			d.each(cloud.ClusterRef{Owner: ref.Owner}, func(m *memcloud.Machine) {
				if strings.HasPrefix(m.Identity.Cluster, ref.Cluster) {
					kill(m)
				}
			})
		})},
	}
}

// laterKey is how the host key begins that the suite tells after the launch.
func laterKey() string {
	return "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIICAgICAgICAgICAgICAgICAgICAgICAgICAgbGF0ZX"
}

func surveyBreaks() []brk {
	without := func(drop func(cloud.ClusterRef, cloud.Thing) bool) mutant {
		return mutant{things: func(_ *broken, ref cloud.ClusterRef, all []cloud.Thing) []cloud.Thing {
			return slices.DeleteFunc(all, func(t cloud.Thing) bool { return drop(ref, t) })
		}}
	}
	with := func(show func(*memcloud.Machine) bool) mutant {
		return mutant{things: func(d *broken, ref cloud.ClusterRef, all []cloud.Thing) []cloud.Thing {
			d.Mu.Lock()
			defer d.Mu.Unlock()
			for _, m := range d.Machines {
				if show(m) && (ref.Owner == "" || ref.Owner == m.Identity.Owner) {
					id := m.Identity
					all = append(all, cloud.Thing{Kind: cloud.ThingMachine, ID: m.ID, Ref: cloud.ClusterRef{Owner: id.Owner, Cluster: id.Cluster, Generation: id.Generation}})
				}
			}
			return all
		}}
	}
	return []brk{
		{what: "survey is of one owner", by: "ownership/survey", mutant: without(func(_ cloud.ClusterRef, t cloud.Thing) bool { return t.Ref.Owner == "somebody-else" })},
		{what: "survey shows all", by: "ownership/survey", says: "without tags", mutant: with(func(m *memcloud.Machine) bool { return m.Identity == cloud.Identity{} })},
		{what: "survey shows the dead", by: "ownership/survey", mutant: with(func(m *memcloud.Machine) bool { return !m.Gone.IsZero() })},
		{what: "survey shows machines only", by: "ownership/survey", mutant: without(func(_ cloud.ClusterRef, t cloud.Thing) bool { return t.Kind != cloud.ThingMachine })},
		{what: "survey of one cluster shows the owner's", by: "ownership/survey", mutant: mutant{things: func(_ *broken, ref cloud.ClusterRef, all []cloud.Thing) []cloud.Thing {
			if ref.Cluster != "" {
				all = append(all, cloud.Thing{Kind: cloud.ThingKey, ID: "k", Ref: cloud.ClusterRef{Owner: ref.Owner, Cluster: "another", Generation: "g"}})
			}
			return all
		}}},
	}
}

func portBreaks() []brk {
	return []brk{
		{what: "ports are not opened at launch", by: "ports/at launch", mutant: spec(func(s *cloud.ClusterSpec) { s.Ports = nil }, "Bootstrap")},
		{what: "of a range the first is opened", by: "ports/at launch", mutant: rules("Bootstrap", func(g *memcloud.Group) {
			g.Ports = slices.Clone(g.Ports)
			for i := range g.Ports {
				g.Ports[i].Last = g.Ports[i].First
			}
		})},
		{what: "ports accumulate", by: "ports/open, replace, close", mutant: rules("OpenPorts", func(g *memcloud.Group) {
			g.Ports = append(g.Ports, cloud.PortRange{First: 8080, Last: 8080})
		})},
		{what: "ports close SSH", by: "ports/open, replace, close", mutant: rules("OpenPorts", func(g *memcloud.Group) { g.SSH = false })},
		{what: "ports open everywhere", by: "ports/open, replace, close", says: "another cluster", mutant: after("OpenPorts", func(d *broken, ref cloud.ClusterRef) {
			d.groups(cloud.ClusterRef{Owner: ref.Owner}, func(g *memcloud.Group) {
				g.Ports = []cloud.PortRange{{First: 8080, Last: 8080}, {First: 9000, Last: 9010}}
			})
		})},
		{what: "open ports does nothing", by: "ports/open, replace, close", mutant: instead("OpenPorts", nothing)},
		{what: "bootstrap closes ports", by: "ports/survive another Bootstrap", mutant: rules("Bootstrap", func(g *memcloud.Group) { g.Ports = nil })},
		{what: "drift is never told", by: "ports/drift is told", mutant: mutant{drift: func(*broken, []cloud.PortRange, []string) []string { return nil }}},
		{what: "drift is always told", by: "ports/drift is told", mutant: mutant{drift: func(_ *broken, _ []cloud.PortRange, lines []string) []string { return append(lines, "something") }}},
		{what: "drift is repaired", by: "ports/drift is told", says: "changes nothing", mutant: mutant{drift: func(d *broken, ports []cloud.PortRange, lines []string) []string {
			d.Mu.Lock()
			defer d.Mu.Unlock()
			for _, g := range d.Groups {
				g.Ports = slices.Clone(ports)
			}
			return lines
		}}},
		{what: "ports are open to all", by: "ports/sources", mutant: spec(func(s *cloud.ClusterSpec) { s.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} })},
		{what: "of the sources the first counts", by: "ports/sources", mutant: spec(func(s *cloud.ClusterSpec) { s.AllowedCIDRs = s.AllowedCIDRs[:min(1, len(s.AllowedCIDRs))] })},
		{what: "sources stay as at launch", by: "ports/sources", mutant: spec(func(s *cloud.ClusterSpec) {
			if len(s.AllowedCIDRs) == 1 && s.AllowedCIDRs[0].Bits() == 32 {
				s.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("203.0.113.0/24")}
			}
		})},
		{what: "nobody named is everybody", by: "ports/sources left to the cloud", mutant: spec(func(s *cloud.ClusterSpec) {
			if len(s.AllowedCIDRs) == 0 {
				s.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
			}
		})},
		{what: "who may reach the machines is not told", by: "ports/sources left to the cloud", mutant: mutant{told: func(cfg *cloud.RunConfig) { cfg.Spec.AllowedCIDRs = nil }}},
		{what: "cleanup leaves keys", by: "ports/cleanup twice", mutant: leaves(func(d *broken, id cloud.Identity) {
			d.Groups = append(d.Groups, &memcloud.Group{Kind: "key", Owner: id})
		})},
		{what: "cleanup leaves firewalls", by: "ports/cleanup twice", mutant: leaves(func(d *broken, id cloud.Identity) {
			d.Groups = append(d.Groups, &memcloud.Group{Kind: "firewall", Owner: id})
		})},
		{what: "cleanup leaves tags and groups", by: "ports/cleanup twice", mutant: leaves(func(d *broken, id cloud.Identity) {
			d.Things = append(d.Things, cloud.Thing{Kind: cloud.ThingGroup, ID: "tag", Ref: cloud.ClusterRef{Owner: id.Owner, Cluster: id.Cluster, Generation: id.Generation}})
		})},
		{what: "a second cleanup fails", by: "ports/cleanup twice", mutant: instead("CleanupPorts", func(ctx context.Context, d *broken, ref cloud.ClusterRef) error {
			if len(d.GroupsOf(ref.Owner)) == 0 {
				return cloud.ErrNotFound
			}
			return d.Driver.CleanupPorts(ctx, ref)
		})},
	}
}

// leaves lets a clean-up leave something.
func leaves(f func(*broken, cloud.Identity)) mutant {
	return after("CleanupPorts", func(d *broken, ref cloud.ClusterRef) {
		d.Mu.Lock()
		defer d.Mu.Unlock()
		f(d, cloud.Identity{Owner: ref.Owner, Cluster: ref.Cluster, Generation: ref.Generation})
	})
}

func deadManBreaks() []brk {
	undead := spec(func(s *cloud.ClusterSpec) { s.Deadline = time.Time{} })
	armed := after("Commit", func(d *broken, ref cloud.ClusterRef) {
		d.each(ref, func(m *memcloud.Machine) { m.Deadline = m.CreatedAt.Add(time.Minute) })
	})
	return []brk{
		{what: "commit does not mark", by: "commit/marks", mutant: after("Commit", func(d *broken, ref cloud.ClusterRef) {
			d.each(ref, func(m *memcloud.Machine) { m.Committed = false })
		})},
		{what: "commit of a missing machine succeeds", by: "commit/marks", says: "missing", mutant: failing("Commit", isNotFound)},
		{what: "run takes the mark away", by: "commit/marks", says: "Run", mutant: ran(func(d *broken, ref cloud.ClusterRef, _ cloud.RunConfig, _ *cloud.RunRecord, err error) error {
			d.each(ref, func(m *memcloud.Machine) { m.Committed = false })
			return err
		})},
		{what: "the mark shows among the labels", by: "commit/marks", says: "labels", mutant: shown(func(in *cloud.Instance) {
			if in.Committed {
				in.Labels[cloud.TagCommitted] = "true"
			}
		})},
		{what: "commit ignores Instances", by: "commit/some", mutant: in("Commit", func(ref *cloud.ClusterRef) { ref.Instances = nil })},
		{what: "commit believes the answer", by: "commit/is verified", mutant: mutant{driver: func(d *memcloud.Driver) { d.Trusting = true }}},
		{what: "a new name takes the mark away", by: "commit/outlives a rename", variant: "fixed labels", mutant: mutant{renamed: func(m *memcloud.Machine) { m.Committed = false }}},
		{what: "commit looks at the mark alone", by: "dead-man/disarming is verified", mutant: mutant{driver: func(d *memcloud.Driver) { d.Careless = true }}},
		{what: "commit does not disarm", by: "dead-man/commit disarms", mutant: armed},
		{what: "commit does not disarm what only stops", by: "dead-man/commit disarms", variant: "half dead", mutant: armed},
		{what: "deadline is dropped", by: "dead-man/uncommitted is removed", mutant: undead},
		{what: "the deadline is an hour late", by: "dead-man/uncommitted is removed", mutant: spec(func(s *cloud.ClusterSpec) { s.Deadline = s.Deadline.Add(time.Hour) })},
		{what: "the deadline of what only stops is dropped", by: "dead-man/uncommitted stops", variant: "half dead", mutant: undead},
		{what: "what stopped is lost", by: "dead-man/uncommitted stops", variant: "half dead", mutant: hidden("Query", func(_ *broken, in cloud.Instance) bool { return in.State == cloud.StateStopped })},
		{what: "power-off always stops", by: "self/terminate", mutant: power(cloud.ShutdownStop)},
		{what: "power-off of spot machines always stops", by: "self/terminate spot", mutant: power(cloud.ShutdownStop)},
		{what: "power-off always removes", by: "self/stop", mutant: power(cloud.ShutdownTerminate)},
		{what: "power-off of spot machines always removes", by: "self/stop spot", variant: "spot stops", mutant: power(cloud.ShutdownTerminate)},
		{what: "power-off never changes", by: "self/from stop to terminate", mutant: power(cloud.ShutdownStop)},
		{what: "power-off never changes back", by: "self/from terminate to stop", mutant: power(cloud.ShutdownTerminate)},
		{what: "power-off is forgotten", by: "self/from stop to terminate", mutant: ran(func(d *broken, ref cloud.ClusterRef, cfg cloud.RunConfig, _ *cloud.RunRecord, err error) error {
			d.each(ref, func(m *memcloud.Machine) { m.OnShutdown = cfg.Spec.OnShutdown })
			return err
		})},
		{what: "what stops by itself is not armed before", by: "self/uncommitted leaves nothing", mutant: spec(func(s *cloud.ClusterSpec) {
			if s.OnShutdown == cloud.ShutdownStop {
				s.Deadline = time.Time{}
			}
		})},
		{what: "the dead are shown while they live", by: "life/the dead are remembered as dead", mutant: mutant{out: func(d *broken, method string, ref cloud.ClusterRef, all []cloud.Instance) []cloud.Instance {
			if method == "Ended" {
				d.each(ref, func(m *memcloud.Machine) { all = append(all, m.View(time.Now())) })
			}
			return all
		}}},
		{what: "the dead of all clusters are shown", by: "life/the dead are remembered as dead", mutant: mutant{in: func(method string, ref *cloud.ClusterRef) {
			if method == "Ended" {
				ref.Cluster, ref.Generation = "", ""
			}
		}}},
	}
}

// power is a power-off that does what it does, whatever was asked for.
func power(how cloud.Shutdown) mutant {
	return ran(func(d *broken, ref cloud.ClusterRef, _ cloud.RunConfig, _ *cloud.RunRecord, err error) error {
		d.each(ref, func(m *memcloud.Machine) { m.OnShutdown = how })
		return err
	})
}
