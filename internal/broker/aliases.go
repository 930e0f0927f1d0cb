// SPDX-License-Identifier: MPL-2.0

package broker

import "github.com/skybroker/terraform-provider-sky/internal/cluster"

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
