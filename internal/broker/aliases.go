// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// The names that internal/cluster took over, until all users have followed.
type (
	Cluster             = cluster.Cluster
	Node                = cluster.Node
	Status              = cluster.Status
	Replaced            = cluster.Replaced
	MissingKeyError     = cluster.MissingKeyError
	MissingHostKeyError = cluster.MissingHostKeyError
)

// The same of values.
const (
	StatusInit       = cluster.StatusInit
	StatusUp         = cluster.StatusUp
	StatusStopped    = cluster.StatusStopped
	StatusDegraded   = cluster.StatusDegraded
	StatusTerminated = cluster.StatusTerminated
	RuntimeSSH       = cluster.RuntimeSSH
	RuntimeRay       = cluster.RuntimeRay
)

// ErrGone is cluster.ErrGone.
var ErrGone = cluster.ErrGone

// Bastion is cluster.Bastion.
type Bastion = cluster.Bastion

// The same of functions.

// ValidOwner is statedir.ValidOwner.
func ValidOwner(owner string) bool { return statedir.ValidOwner(owner) }

// OwnerOf is statedir.OwnerOf.
func OwnerOf(stateDir, configured string) string { return statedir.OwnerOf(stateDir, configured) }

// HasRecords is statedir.HasRecords.
func HasRecords(stateDir string) bool { return statedir.HasRecords(stateDir) }

// SSHConfigBeside is statedir.SSHConfigBeside.
func SSHConfigBeside(knownHosts string) string { return statedir.SSHConfigBeside(knownHosts) }

// KnownHostsBeside is statedir.KnownHostsBeside.
func KnownHostsBeside(config string) string { return statedir.KnownHostsBeside(config) }

// SSHConfigWord is statedir.SSHConfigWord.
func SSHConfigWord(path string) string { return statedir.SSHConfigWord(path) }

// SetupError is nodes.SetupError.
type SetupError = nodes.SetupError

// CheckTemplates is nodes.CheckTemplates.
func CheckTemplates(dir string, placements []cloud.Placement) error {
	return nodes.CheckTemplates(dir, placements)
}
