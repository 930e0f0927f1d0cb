// SPDX-License-Identifier: MPL-2.0

// Package broker launches clusters on the cheapest placement that works, keeps
// a write-ahead journal of every machine, and never loses track of one. It
// talks to clouds through cloud.Provisioner only and never names one.
package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// Config is what a broker needs from its host.
type Config struct {
	// StateDir holds the journal and the keys; it must exist with mode 0700.
	StateDir string
	// Owner marks every machine as ours; empty means the id in StateDir, made once.
	Owner string
	// Home says whose Terraform state a cluster belongs to, such as the
	// configuration's folder and workspace. See Launch on adoption.
	Home string
	// Registry is the set of clouds.
	Registry *cloud.Registry
	// Credentials returns the user's settings of a cloud.
	Credentials func(cloudName string) cloud.Credentials
	// TemplateDir may hold <cloud>.yaml.tmpl files that override the embedded ones.
	TemplateDir string
	// Images resolves an image tag of the catalog; it returns ids unchanged.
	Images func(ctx context.Context, cloudName, image, region, arch string) (string, error)
	// Signers gives the user's own keys, which every machine accepts; nil is none.
	// It is asked when machines are made or connected to, not before.
	Signers func() ([]ssh.Signer, error)
	// KeyPath is the file of the user's own key; empty where it is no file.
	KeyPath string
	// Bastion is on the way to the nodes of its clouds; nil is none.
	Bastion *cluster.Bastion
	// Log receives progress; nil discards it.
	Log *slog.Logger
	// Timeouts bound the steps; zero fields take the defaults.
	Timeouts Timeouts
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Timeouts bound the steps of a launch that the caller's context does not
// bound more tightly.
type Timeouts struct {
	// Boot bounds one attempt from the create call to running machines (15 min).
	Boot time.Duration
	// SSH bounds the wait for SSH on every node after that (10 min).
	SSH time.Duration
	// Cleanup bounds the removal of a failed or cancelled attempt; it runs
	// detached from the caller's cancellation (10 min).
	Cleanup time.Duration
	// Gone is the pause between two looks before absence is believed (2 s).
	Gone time.Duration
	// ListDelay is how long after a create call a machine may exist that no list
	// shows yet (20 s).
	ListDelay time.Duration
	// Margin is added to the caller's deadline for the dead-man timer (15 min).
	Margin time.Duration
}

func (t Timeouts) withDefaults() Timeouts {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&t.Boot, 15*time.Minute)
	def(&t.SSH, 10*time.Minute)
	def(&t.Cleanup, 10*time.Minute)
	def(&t.Gone, 2*time.Second)
	def(&t.ListDelay, 20*time.Second)
	def(&t.Margin, 15*time.Minute)
	return t
}

// Broker launches and removes clusters. It is safe for concurrent use; one
// process should have one, so that clusters share sessions and the blocklist.
type Broker struct {
	cfg   Config
	owner string
	// unowned is why the owner id is good for this process alone; nil is that it
	// lasts.
	unowned *statedir.NoOwnerError
	log     *slog.Logger
	blocks  blocklist
	clouds  *clouds.Sessions
	mu      sync.Mutex
	dial    func(context.Context, remote.Target, []ssh.Signer) (nodes.Node, error)
	hooks   journal.Hooks
	// seen are the clusters refreshed by this process, by generation.
	seen map[string]cluster.Cluster
	// mine are the generations committed by this process, with their clusters'
	// names; see adoptable.
	mine map[string]string
	busy *statedir.Busy
}

// SetupFailure says what becomes of machines whose setup script failed.
type SetupFailure string

// The policies after a failed setup.
const (
	SetupFailureDestroy SetupFailure = "destroy"
	SetupFailureKeep    SetupFailure = "keep"
)

// Spec is a cluster as the user asked for it.
type Spec struct {
	Name string
	// Request is what the optimizer ranks; its Nodes is the cluster's size.
	Request optimizer.Request
	// Offers are the catalogs' answers to Request; for a cluster that is there, at
	// most its own.
	Offers []cloud.Offer
	// Ports beyond SSH, open to AllowedCIDRs; empty CIDRs are the caller's address.
	Ports        []cloud.PortRange
	AllowedCIDRs []netip.Prefix
	Labels       map[string]string
	Setup        string
	Envs         map[string]string
	// Workdir is a local folder synced to ~/sky_workdir; empty is none.
	Workdir string
	// FileMounts maps paths on the nodes to local files or folders.
	FileMounts map[string]string
	// KeyPath is the user's private key; empty means those of Config.Signers, and
	// one made for this cluster where there is none.
	KeyPath string
	// Runtime is how jobs run: RuntimeSSH, also where it is empty, or RuntimeRay.
	Runtime        string
	OnSetupFailure SetupFailure
	// Autostop ends the cluster when it is idle; nil is never.
	Autostop *autostop.Config `json:",omitempty"`
	// Beside says that a cluster of this name that another computer launched, and
	// that a state may hold, is about to be replaced by this one, and is no obstacle.
	Beside bool `json:"-"`
	// Recovery says where a spot cluster of this name that was lost as a whole
	// is launched again; empty is RecoverElsewhere.
	Recovery Recovery
}

// Recovery says where a lost spot cluster is launched again.
type Recovery string

// The ways to recover.
const (
	RecoverElsewhere Recovery = "failover"
	RecoverInRegion  Recovery = "same_region"
)

// Attempt is one row of the table of what a launch tried.
type Attempt struct {
	Placement cloud.Placement
	Fault     cloud.Fault
	// Step is what was being done: bootstrap, run, wait, ssh, ports.
	Step string
	Err  error
	// Took is how long the attempt lasted, its removal included.
	Took time.Duration
	// Removed says that nothing of the attempt is left.
	Removed bool
}

// LaunchError says why no placement worked.
type LaunchError struct {
	Cluster  string
	Attempts []Attempt
	// LeftOut says which clouds were not tried, and why.
	LeftOut []string
	// Survivors are machines that could not be removed; they stay in state.
	Survivors []string
	// Err is what ended the launch.
	Err error
	// LogPath names the file with the whole launch.
	LogPath string
}

// Unwrap returns what ended the launch.
func (e *LaunchError) Unwrap() error { return e.Err }

// New returns a broker. It touches StateDir only to read or make the owner id.
// Where that cannot be kept, the broker reads and removes the clusters that
// states hold, and launches none.
func New(cfg Config) (*Broker, error) {
	if cfg.Registry == nil || cfg.Credentials == nil {
		return nil, errors.New("broker: a registry and credentials are required")
	}
	cfg.Timeouts = cfg.Timeouts.withDefaults()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	owner, err := statedir.LoadOwner(cfg.StateDir, cfg.Owner)
	unowned := (*statedir.NoOwnerError)(nil)
	if err != nil && !errors.As(err, &unowned) {
		return nil, fmt.Errorf("owner id: %w", err)
	}
	return &Broker{
		cfg: cfg, owner: owner, unowned: unowned, log: cfg.Log,
		blocks: blocklist{now: cfg.Now},
		clouds: &clouds.Sessions{Registry: cfg.Registry, Credentials: cfg.Credentials},
		dial:   nodes.Dial,
		seen:   map[string]cluster.Cluster{},
		mine:   map[string]string{},
		busy:   &statedir.Busy{},
	}, nil
}

// owned is an error where the owner id is good for this process alone: what it
// made would be nobody's, and what it looks for cannot be there.
func (b *Broker) owned() error {
	if b.unowned == nil {
		return nil
	}
	return b.unowned
}

// Owner returns the ownership id on the broker's machines.
func (b *Broker) Owner() string { return b.owner }

// CloudStatus answers "is this cloud enabled, and if not, why".
type CloudStatus struct {
	Name    string
	Enabled bool
	Account string
	Reason  string
}

// Check opens the clouds and says what came of it.
func (b *Broker) Check(ctx context.Context, clouds []string) []CloudStatus {
	var out []CloudStatus
	for _, name := range clouds {
		st := CloudStatus{Name: name}
		if s, err := b.clouds.Open(ctx, name); err != nil {
			st.Reason = err.Error()
		} else {
			st.Enabled, st.Account = true, s.Account
		}
		out = append(out, st)
	}
	return out
}
