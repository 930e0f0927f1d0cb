// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"context"
	"fmt"
	"net/netip"
	"sort"
)

// Provisioner launches and removes the machines of clusters on one account of
// one cloud. Every call is safe to repeat. Only the context bounds time. Calls
// return the cloud's raw errors; the broker asks Classify what they mean and
// wraps them once.
type Provisioner interface {
	// Bootstrap finds or makes what machines need (network, firewall group,
	// keys, image). It creates nothing that costs money. The spec of the result
	// says in AllowedCIDRs who may reach the machines, also where the caller left
	// that to the cloud.
	Bootstrap(ctx context.Context, spec ClusterSpec, at Placement) (RunConfig, error)

	// Run converges to the machines of cfg.Spec.Nodes: it adopts what carries
	// their identities, resumes what is stopped, creates the rest, and brings
	// labels, notes and host keys up to date. Names or tokens derive from the identities, so that a
	// repeated call never makes a second machine. On machines that are committed
	// already it brings what their power-off does in line with Spec.OnShutdown.
	// Machines of the ref beyond
	// the wanted ranks are an ExtraNodesError and nothing is created. When it
	// cannot reach the count it returns what it did together with the error.
	Run(ctx context.Context, ref ClusterRef, cfg RunConfig) (RunRecord, error)

	// Wait blocks until every machine of the ref is in state want. A machine
	// that cannot get there any more is an error at once. For StateTerminated,
	// absence is success.
	Wait(ctx context.Context, ref ClusterRef, want State) error

	// Describe returns the running machines of the ref by rank, with addresses.
	// None at all is ErrNotFound.
	Describe(ctx context.Context, ref ClusterRef) (ClusterInfo, error)

	// Query lists the machines that match the ref, in every state but
	// terminated. It is the inventory: with an empty Generation it sees all
	// generations, with an empty Region all regions. None is no error.
	Query(ctx context.Context, ref ClusterRef) ([]Instance, error)

	// Commit marks the machines as recorded and disarms their dead-man timers;
	// from then on a power-off does what the Spec.OnShutdown of their Run said.
	// None at all, or one of ref.Instances missing, is ErrNotFound.
	Commit(ctx context.Context, ref ClusterRef) error

	// Stop stops the machines, keeping disks, and returns once that was observed.
	// None at all is ErrNotFound. Where Capabilities say that these machines
	// cannot stop, it is an error and they keep running.
	Stop(ctx context.Context, ref ClusterRef) error

	// Terminate removes the machines and their disks, and returns only after
	// that was observed. Absent is success. An id in ref.Instances that belongs
	// to somebody else is an error and nothing is removed. A disk that somebody
	// attached to a machine of his own stays.
	Terminate(ctx context.Context, ref ClusterRef) error

	// OpenPorts makes exactly these ports reachable from the prefixes that
	// Bootstrap was given; ports no longer listed are closed.
	OpenPorts(ctx context.Context, ref ClusterRef, cfg RunConfig, ports []PortRange) error

	// CleanupPorts removes the cluster's own rules, groups and keys. Absent is
	// success. It is called after Terminate.
	CleanupPorts(ctx context.Context, ref ClusterRef) error

	// Classify says what an error of this driver means. It is pure.
	Classify(err error) Fault
}

// Chronicler is a Provisioner whose cloud remembers machines that are gone, for
// a while, with who ended them.
type Chronicler interface {
	// Ended lists the machines of the ref, in StateTerminated, that the cloud
	// still remembers. None is no error and proves nothing.
	Ended(ctx context.Context, ref ClusterRef) ([]Instance, error)
}

// Auditor is a Provisioner that can tell what somebody changed behind its back.
// One whose Capabilities have PortsLater is one.
type Auditor interface {
	// PortDrift says, for people, what OpenPorts with these prefixes and ports
	// would change of what may reach the machines of the ref. It changes nothing.
	PortDrift(ctx context.Context, ref ClusterRef, prefixes []netip.Prefix, ports []PortRange) ([]string, error)
}

// Option is one setting of a cloud in the provider block.
type Option struct {
	Name        string
	Description string
	// Env names the environment variables read when the setting is absent, in order.
	Env       []string
	Sensitive bool
}

// Credentials are a cloud's settings as the user gave them, and where to keep state.
type Credentials struct {
	// Values holds the set Options by name.
	Values map[string]string
	// StateDir is the provider's folder for files that outlive a run.
	StateDir string
	// Executable is the provider's own binary, for a cloud that must start a helper.
	Executable string
}

// Session is an opened cloud.
type Session struct {
	Provisioner
	// Account identifies who pays; a cluster is only declared gone, and only
	// removed, under the account that launched it. Where the cloud's API names no
	// account it is made of the key, and a setting can name it after the key changed.
	Account string
	// Identity is who the calls are made as, for people; empty where the
	// credentials do not tell. Colleagues may share an account.
	Identity string
}

// Factory describes a cloud and opens it.
type Factory interface {
	// Name is the cloud's name in configurations, catalogs and templates.
	Name() string
	// Capabilities are static and need no account.
	Capabilities() Capabilities
	// Options are the cloud's settings in the provider block.
	Options() []Option
	// Open checks the credentials with one cheap call. Its error says why the
	// cloud is not enabled and what would enable it.
	Open(ctx context.Context, creds Credentials) (Session, error)
}

// Configurable is a Factory whose Capabilities depend on the user's settings:
// say, machines that remove themselves only under an account with that right.
type Configurable interface {
	// CapabilitiesWith is Capabilities under these settings. It needs no network.
	CapabilitiesWith(creds Credentials) Capabilities
}

// CapabilitiesOf is what a cloud can do under the user's settings.
func CapabilitiesOf(f Factory, creds Credentials) Capabilities {
	if c, ok := f.(Configurable); ok {
		return c.CapabilitiesWith(creds)
	}
	return f.Capabilities()
}

// Keyless is a Factory that can tell, from the settings, the environment and files
// alone, that there is nothing to open its cloud with. The plan says so.
type Keyless interface {
	// MissingCredentials says where none were found; empty is that there may be
	// credentials, good or bad.
	MissingCredentials(creds Credentials) string
}

// Registry is the set of clouds of one binary.
type Registry struct {
	byName map[string]Factory
}

// NewRegistry returns a registry of the factories. Two with one name are an error.
func NewRegistry(factories ...Factory) (*Registry, error) {
	r := &Registry{byName: make(map[string]Factory, len(factories))}
	for _, f := range factories {
		if _, dup := r.byName[f.Name()]; dup {
			return nil, fmt.Errorf("cloud %q is registered twice", f.Name())
		}
		r.byName[f.Name()] = f
	}
	return r, nil
}

// Names returns the clouds' names, sorted.
func (r *Registry) Names() []string {
	names := make([]string, 0, len(r.byName))
	for n := range r.byName {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// Get returns the factory of that name.
func (r *Registry) Get(name string) (Factory, bool) {
	f, ok := r.byName[name]
	return f, ok
}

// Capabilities is what the cloud of that name can do under the user's settings.
func (r *Registry) Capabilities(name string, creds Credentials) (Capabilities, bool) {
	f, ok := r.byName[name]
	if !ok {
		return Capabilities{}, false
	}
	return CapabilitiesOf(f, creds), true
}
