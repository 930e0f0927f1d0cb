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
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/broker/bringup"
	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/held"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/launch"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
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

// Broker launches and removes clusters. It is safe for concurrent use; one
// process should have one, so that clusters share sessions and the blocklist. What
// it does is done by its rooms; it gives each what that needs.
type Broker struct {
	cfg   Config
	owner string
	// unowned is why the owner id is good for this process alone; nil where it lasts.
	unowned *statedir.NoOwnerError
	blocks  launch.Blocklist
	clouds  *clouds.Sessions
	memory  held.Memory
	dial    func(context.Context, remote.Target, []ssh.Signer) (nodes.Node, error)
	hooks   journal.Hooks
	busy    *statedir.Busy
	queue   bringup.Queue
}

// New returns a broker. It touches StateDir only to read or make the owner id.
// Where that cannot be kept, the broker reads and removes the clusters that
// states hold, and launches none.
func New(cfg Config) (*Broker, error) {
	if cfg.Registry == nil || cfg.Credentials == nil {
		return nil, errors.New("broker: a registry and credentials are required")
	}
	cfg.Timeouts = cfg.Timeouts.WithDefaults()
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
		cfg: cfg, owner: owner, unowned: unowned,
		blocks: launch.Blocklist{Now: cfg.Now},
		clouds: &clouds.Sessions{Registry: cfg.Registry, Credentials: cfg.Credentials},
		dial:   nodes.Dial,
		busy:   &statedir.Busy{},
	}, nil
}

// owned is an error where the owner id is good for this process alone: no later
// process would know its machines, and there can be none yet.
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
