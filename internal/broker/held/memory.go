// SPDX-License-Identifier: MPL-2.0

package held

import (
	"sync"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Memory is what this process has done and seen so far. It is safe for concurrent
// use; the zero value is ready.
type Memory struct {
	mu sync.Mutex
	// launched are the generations committed by this process, with their clusters'
	// names.
	launched map[string]string
	// seen are the clusters refreshed by this process, by generation.
	seen map[string]cluster.Cluster
}

// NoteLaunched remembers a generation as committed by this process, so that a second
// resource of the same name does not mistake it for a lost one.
func (m *Memory) NoteLaunched(gen, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.launched == nil {
		m.launched = map[string]string{}
	}
	m.launched[gen] = name
}

// Launched reports whether this process has committed the generation.
func (m *Memory) Launched(gen string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.launched[gen] != ""
}

// launchedByName are the generations that this process has committed, by name.
func (m *Memory) launchedByName() map[string][]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := map[string][]string{}
	for gen, name := range m.launched {
		names[name] = append(names[name], gen)
	}
	return names
}

// NoteSeen remembers a generation as refreshed, with the cluster as it was then.
func (m *Memory) NoteSeen(gen string, c cluster.Cluster) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == nil {
		m.seen = map[string]cluster.Cluster{}
	}
	m.seen[gen] = c
}

// Seen is the cluster of a generation as it was refreshed last.
func (m *Memory) Seen(gen string) (cluster.Cluster, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.seen[gen]
	return c, ok
}

// seenWhere are the refreshed clusters for which is is true.
func (m *Memory) seenWhere(is func(cluster.Cluster) bool) []cluster.Cluster {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []cluster.Cluster
	for _, c := range m.seen {
		if is(c) {
			out = append(out, c)
		}
	}
	return out
}

// Current is the generation that this process has seen living under an id last;
// empty where it has seen none.
func (m *Memory) Current(id string) string {
	latest := cluster.Cluster{}
	for _, c := range m.seenWhere(func(c cluster.Cluster) bool { return c.ID == id }) {
		if latest.Generation == "" || c.LaunchedAt > latest.LaunchedAt {
			latest = c
		}
	}
	return latest.Generation
}
