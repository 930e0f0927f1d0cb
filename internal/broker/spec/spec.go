// SPDX-License-Identifier: MPL-2.0

// Package spec is a cluster as the user asked for it.
package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

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

// Work is what the spec asks of each node, beside what the template does.
func (s Spec) Work(prepare string) nodes.Work {
	return nodes.Work{Prepare: prepare, Setup: s.Setup, Envs: s.Envs, Workdir: s.Workdir, FileMounts: s.FileMounts}
}

// Digest identifies what was asked for, without the catalog's answers to it.
func (s Spec) Digest() (string, error) {
	s.Offers = nil
	text, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("identify the request: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
