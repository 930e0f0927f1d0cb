// SPDX-License-Identifier: MPL-2.0

// Package fleet holds what drivers do alike to bring a cloud's machines to
// what was asked for, once their own words are turned into the vocabulary's:
// check what they are given, sort the machines, watch them, describe them, act
// on several at once, and say what went wrong. The conformance suite in
// cloudtest is what holds a driver to the outcome.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// nodePlan says what becomes of every rank.
type nodePlan[M any] struct {
	// Adopt are the machines that are there, in the order of the nodes.
	Adopt  []M
	Create []cloud.NodeSpec
}

// sortNodes tells the nodes that have a machine from those that need one. Machines
// that end do not count. A machine nobody asked for is an ExtraNodesError, one
// in a state that is neither alive nor gone the error that stuck returns; the
// plan is empty then. as gives a machine in the words all clouds share.
func sortNodes[M any](ref cloud.ClusterRef, nodes []cloud.NodeSpec, machines []M, as func(M) cloud.Instance, stuck func(M) error) (nodePlan[M], error) {
	var extra []string
	have := map[cloud.Identity]M{}
	wanted := map[cloud.Identity]bool{}
	for _, n := range nodes {
		wanted[n.Identity] = true
	}
	for _, m := range machines {
		inst := as(m)
		_, twice := have[inst.Identity]
		switch {
		case inst.State == cloud.StateTerminating || inst.State == cloud.StateTerminated:
		case !wanted[inst.Identity] || twice:
			extra = append(extra, inst.ID)
		case inst.State == cloud.StateUnknown:
			return nodePlan[M]{}, stuck(m)
		default:
			have[inst.Identity] = m
		}
	}
	if len(extra) > 0 {
		return nodePlan[M]{}, &cloud.ExtraNodesError{Cluster: ref.Cluster, Want: len(nodes), Extra: extra}
	}
	var plan nodePlan[M]
	for _, n := range nodes {
		if m, ok := have[n.Identity]; ok {
			plan.Adopt = append(plan.Adopt, m)
		} else {
			plan.Create = append(plan.Create, n)
		}
	}
	return plan, nil
}

// launchEach calls one for every node, in their order, at most limit at once. After
// a failure no further one begins, but those under way are seen through, so that
// no id is lost. An id may come together with an error.
func launchEach(limit int, nodes []cloud.NodeSpec, one func(cloud.NodeSpec) (string, error)) (ids []string, errs []error) {
	type outcome struct {
		id  string
		err error
	}
	outcomes := make([]outcome, len(nodes))
	var failed atomic.Bool
	var g errgroup.Group
	g.SetLimit(limit)
	for i, n := range nodes {
		g.Go(func() error {
			if failed.Load() {
				return nil
			}
			id, err := one(n)
			if err != nil {
				failed.Store(true)
			}
			outcomes[i] = outcome{id, err}
			return nil
		})
	}
	_ = g.Wait() // the functions return nil
	for _, o := range outcomes {
		if o.id != "" {
			ids = append(ids, o.id)
		}
		if o.err != nil {
			errs = append(errs, o.err)
		}
	}
	return ids, errs
}

// checkSingle is for a look after launches: a machine of the cluster that is not
// in the record was made by somebody else with its identity, or by a cloud that
// took one request twice. It is an ExtraNodesError.
func checkSingle(ref cloud.ClusterRef, nodes []cloud.NodeSpec, record cloud.RunRecord, ids []string) error {
	known := slices.Concat(record.Created, record.Resumed, record.Adopted)
	extra := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(known, id) })
	if len(extra) > 0 {
		return &cloud.ExtraNodesError{Cluster: ref.Cluster, Want: len(nodes), Extra: extra}
	}
	return nil
}

// checkPresent is cloud.ErrNotFound where a machine that ref names is not among
// the ids, or there are none.
func checkPresent(ref cloud.ClusterRef, ids []string) error {
	missing := slices.DeleteFunc(slices.Clone(ref.Instances), func(id string) bool { return slices.Contains(ids, id) })
	if len(ids) == 0 || len(missing) > 0 {
		return fmt.Errorf("cluster %q: machines %v: %w", ref.Cluster, missing, cloud.ErrNotFound)
	}
	return nil
}

// runningOf are those of a cluster's machines that run. None at all is
// cloud.ErrNotFound; two of one rank are an ExtraNodesError beside the list.
func runningOf(cluster string, machines []cloud.Instance) ([]cloud.Instance, error) {
	var running []cloud.Instance
	var extra []string
	ranks := map[int]bool{}
	for _, m := range machines {
		if m.State != cloud.StateRunning {
			continue
		}
		if ranks[m.Identity.Rank] {
			extra = append(extra, m.ID)
		}
		ranks[m.Identity.Rank] = true
		running = append(running, m)
	}
	if len(running) == 0 {
		return nil, fmt.Errorf("cluster %q has no running machine: %w", cluster, cloud.ErrNotFound)
	}
	if len(extra) > 0 {
		return running, &cloud.ExtraNodesError{Cluster: cluster, Want: len(ranks), Extra: extra}
	}
	return running, nil
}

// watcher looks at machines again and again.
type watcher struct {
	// Poll paces the looks.
	Poll retry.Policy
	// Patience is how many transient failures in a row end a watch.
	Patience int
	// Transient reports whether a failure is transient.
	Transient func(error) bool
}

// watch looks until f reports done or an error, or ctx ends; the error then
// says what was last seen. It goes on after transient failures of look or f.
func watch[C fmt.Stringer](ctx context.Context, w watcher, look func(context.Context) (C, error), f func(context.Context, C) (bool, error)) error {
	var last C
	seen, failures := false, 0
	err := retry.Poll(ctx, w.Poll, func(ctx context.Context) (bool, error) {
		found, err := look(ctx)
		done := false
		if err == nil {
			last, seen = found, true
			done, err = f(ctx, found)
		}
		switch {
		case err == nil:
			failures = 0
			return done, nil
		case ctx.Err() != nil:
			return false, err
		}
		if failures++; failures >= w.Patience || !w.Transient(err) {
			return false, retry.Stop(err)
		}
		return false, err
	})
	switch {
	case err == nil || ctx.Err() == nil:
		return err
	case !seen:
		return fmt.Errorf("gave up before anything was seen: %w", err)
	}
	return fmt.Errorf("gave up on %s: %w", last, err)
}

// Each runs f for every item, at most limit at once, and joins the errors. It
// never stops at the first: a machine nobody asked about costs money.
func Each[T any](limit int, items []T, f func(T) error) error {
	return eachOf(limit, len(items), func(i int) error { return f(items[i]) })
}

// eachOf is Each for the numbers below n.
func eachOf(limit, n int, f func(int) error) error {
	errs := make([]error, n)
	var g errgroup.Group
	g.SetLimit(limit)
	for i := range n {
		g.Go(func() error {
			errs[i] = f(i)
			return nil
		})
	}
	_ = g.Wait() // the functions return nil
	return errors.Join(errs...)
}
