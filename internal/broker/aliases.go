// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/broker/bringup"
	"github.com/skybroker/terraform-provider-sky/internal/broker/change"
	"github.com/skybroker/terraform-provider-sky/internal/broker/held"
	"github.com/skybroker/terraform-provider-sky/internal/broker/launch"
	"github.com/skybroker/terraform-provider-sky/internal/broker/observe"
	"github.com/skybroker/terraform-provider-sky/internal/broker/spec"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// Tree is a file or folder of this computer as it would be uploaded.
type Tree = remote.Tree

// Notes are what a user may want to know of a Tree.
type Notes = remote.Notes

// OpenTree reads a file or folder through, as an upload would. leave names local
// folders that stay here.
func OpenTree(path string, leave ...string) (*Tree, error) { return remote.OpenTree(path, leave...) }

// KeepFromUploads notes that no upload takes names of a local folder, or all of it.
func KeepFromUploads(folder string, names ...string) error {
	return remote.KeepFromUploads(folder, names...)
}

// Autostop says when and how a cluster ends by itself.
type Autostop = autostop.Config

// WaitFor says what keeps a cluster from being idle.
type WaitFor = autostop.WaitFor

// What a cluster waits for before it counts as idle.
const (
	WaitForJobsAndSSH = autostop.JobsAndSSH
	WaitForJobs       = autostop.Jobs
	WaitForNone       = autostop.None
)

// The defaults of Autostop.
const (
	DefaultIdle         = autostop.DefaultIdle
	DefaultHookTimeout  = autostop.DefaultHookTimeout
	DefaultHookHold     = autostop.DefaultHookHold
	DefaultHookHoldDown = autostop.DefaultHookHoldDown
	DefaultUnreadHold   = autostop.DefaultUnreadHold
)

// Spec is a cluster as the user asked for it.
type Spec = spec.Spec

// SetupFailure says what becomes of machines whose setup script failed.
type SetupFailure = spec.SetupFailure

// The policies after a failed setup.
const (
	SetupFailureDestroy = spec.SetupFailureDestroy
	SetupFailureKeep    = spec.SetupFailureKeep
)

// Recovery says where a lost spot cluster is launched again.
type Recovery = spec.Recovery

// The ways to recover.
const (
	RecoverElsewhere = spec.RecoverElsewhere
	RecoverInRegion  = spec.RecoverInRegion
)

// Timeouts bound the steps of a launch that the caller's context does not
// bound more tightly.
type Timeouts = bringup.Timeouts

// LaunchError says why no placement worked.
type LaunchError = launch.Error

// Attempt is one row of the table of what a launch tried.
type Attempt = launch.Attempt

// ImportError says that a complete cluster of that name is alive and belongs
// to another state, or to none.
type ImportError = launch.ImportError

// Loss is where a spot cluster was lost as a whole, and what is to follow.
type Loss = launch.Loss

// LossOf is the loss of the newest cluster of that name, as the journal in the
// state folder has it; nil where there was none within a day. The folder need
// not exist.
func LossOf(stateDir, owner, name string, how Recovery, now time.Time) *Loss {
	return launch.LossOf(stateDir, owner, name, how, now)
}

// Unheld reports whether the state folder has the generation for one that no
// state was seen to hold. The folder need not exist.
func Unheld(stateDir, owner, name, gen string) bool {
	return held.Unheld(stateDir, owner, name, gen)
}

// Changes says what Update must bring up to date.
type Changes = change.Changes

// Whose says which of the clusters of one id is meant, as a state has it. What is
// empty is not known.
type Whose = observe.Whose
