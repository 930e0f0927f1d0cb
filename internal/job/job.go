// SPDX-License-Identifier: MPL-2.0

// Package job runs jobs on a cluster over SSH: started at most once, detached,
// as a gang that lives and dies together, with logs that resume by offset.
//
// A POSIX shell runner (runner.sh) does the work on the nodes and keeps the
// records; this package brings it there, asks it and never guesses: what cannot
// be known is UNKNOWN.
package job

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/script"
)

// ID names a job on its cluster. It follows from the cluster's generation, the
// whole Spec and the number of the run, so submitting the same job again names the
// same job until that is removed.
type ID string

// Resources are what a rank takes of its node in the ray runtime.
type Resources struct {
	// Accelerators may be a fraction. Accelerator, where set, must be the cluster's.
	Accelerator  string  `json:"accelerator,omitempty"`
	Accelerators float64 `json:"accelerators"`
	// CPUs is half a CPU where it is 0.
	CPUs float64 `json:"cpus"`
}

// defaultCPUs is what a rank takes that asks for none, as in SkyPilot.
const defaultCPUs = 0.5

// Spec is a job.
type Spec struct {
	Name string
	// Run is the script of every rank; bash runs it where there is bash and no
	// "#!" line says otherwise.
	Run string
	// Setup runs on every rank before Run starts on any.
	Setup string
	// RunID makes an otherwise equal job another one.
	RunID string
	// Removed is how many runs are known to have been removed before the head kept
	// count of them; no part of the job's identity.
	Removed int
	// Unwanted are jobs that were removed, and whose head was not told; no part of
	// the job's identity.
	Unwanted []ID
	// NumNodes is how many nodes, from the head on; 0 is all.
	NumNodes int
	Envs     map[string]string
	// Secrets are like Envs, but their values are no part of the job's identity
	// or of any record; SecretsVersion is.
	Secrets        map[string]string
	SecretsVersion string
	// Workdir is a local folder that lands in ~/sky_workdir; empty is none.
	Workdir string
	// Leave are local folders that do not travel with it, as where outputs come to.
	Leave []string
	// Resources are what a rank takes of its node, in the ray runtime; nil is all
	// accelerators of the node, where it has some, and half a CPU.
	Resources *Resources
	// Parallel is how many jobs may run on the cluster at once while this one
	// does; 0 is 1: first in, first out. The ray runtime goes by Resources.
	Parallel int
	// MaxDuration ends the job; 0 never. Whole seconds.
	MaxDuration time.Duration
	// RecoverOnExitCodes start the gang again, at most MaxRestarts times.
	RecoverOnExitCodes []int
	MaxRestarts        int
	// LogLimit bounds each rank's log in bytes; 0 is 1 GiB.
	LogLimit int64
	// Grace is what processes get between TERM and KILL; 0 is 10 seconds.
	Grace time.Duration
}

// Phase is a job's status, in SkyPilot's words and order, plus three for
// what cannot be known. lead.sh decides on the node which one a job ends with.
type Phase string

// The phases of a job.
const (
	Init         Phase = "INIT"
	Pending      Phase = "PENDING"
	SettingUp    Phase = "SETTING_UP"
	Running      Phase = "RUNNING"
	FailedDriver Phase = "FAILED_DRIVER"
	Succeeded    Phase = "SUCCEEDED"
	Failed       Phase = "FAILED"
	FailedSetup  Phase = "FAILED_SETUP"
	Cancelled    Phase = "CANCELLED"
	// Unknown is a job whose runner is gone without a record of the end.
	Unknown Phase = "UNKNOWN"
	// LostReboot is a job whose head was restarted under it.
	LostReboot Phase = "LOST_REBOOT"
	// Lost is a job whose head is gone. The cloud says that, no node does.
	Lost Phase = "LOST"
)

// Final reports whether a job in this phase has an end on record, or can have
// none any more.
func (p Phase) Final() bool {
	return slices.Contains([]Phase{FailedDriver, Succeeded, Failed, FailedSetup, Cancelled, Lost}, p)
}

// Over reports whether waiting any longer is pointless: the phase is final, or
// nobody is left to reach one.
func (p Phase) Over() bool { return p.Final() || p == Unknown || p == LostReboot }

// Status is what is known of a job. Times are the head's, RFC 3339 in UTC, and
// empty where there is none yet.
type Status struct {
	Phase Phase
	// ExitCode is the failing rank's, 0 after success; nil where there is none.
	ExitCode *int
	// ExitCodes holds the ranks that ended; 137 are those that were ended.
	ExitCodes map[int]int
	// FailedRank is the first rank that failed, -1 where none did.
	FailedRank  int
	Restarts    int
	SubmittedAt string
	StartedAt   string
	EndedAt     string
	// Reason says why the job ended so, for people.
	Reason string
}

// ErrNotFound is a job the cluster knows nothing of.
var ErrNotFound = errors.New("no such job on the cluster")

// ErrPruned is a job whose logs and files the cluster keeps no more. How it
// ended is still on record.
var ErrPruned = errors.New("the job's logs were pruned on the cluster, which keeps those of the last " + strconv.Itoa(Kept) + " jobs")

// Kept is how many ended jobs keep their logs on the nodes.
const Kept = 50

// errConflict is an id already taken by a different job.
var errConflict = errors.New("another job has this id")

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// fits refuses resources that no node of the cluster has.
func (s Spec) fits(c cluster.Cluster) error {
	r := s.Resources
	switch {
	case r == nil:
		return nil
	case c.Runtime != cluster.RuntimeRay:
		return errors.New("resources say what a job takes of a node, and only a cluster with runtime = \"ray\" shares its nodes out; this one runs jobs one after the other, each with all there is")
	case r.Accelerators < 0 || r.CPUs < 0:
		return errors.New("resources cannot be negative")
	case r.Accelerator != "" && !strings.EqualFold(r.Accelerator, c.Accelerator()):
		return fmt.Errorf("the job asks for accelerators %s and the cluster's nodes have %s", r.Accelerator, cmp.Or(c.Accelerator(), "none"))
	case r.Accelerators > 1 && r.Accelerators != math.Trunc(r.Accelerators):
		return fmt.Errorf("the job asks for %v accelerators on each node; a fraction is for sharing one", r.Accelerators)
	case r.Accelerators > c.AcceleratorsPerNode():
		return fmt.Errorf("the job asks for %v accelerators on each node and the cluster's nodes have %v", r.Accelerators, c.AcceleratorsPerNode())
	}
	return nil
}

// share is what a rank takes of its node.
func (s Spec) share(c cluster.Cluster) Resources {
	r := Resources{Accelerators: c.AcceleratorsPerNode()}
	if s.Resources != nil {
		r = *s.Resources
	}
	r.Accelerator = c.Accelerator()
	r.CPUs = cmp.Or(r.CPUs, defaultCPUs)
	return r
}

// check refuses a job that could not run as asked.
func (s Spec) check(nodes int) error {
	if strings.TrimSpace(s.Run) == "" {
		return errors.New("the job has nothing to run")
	}
	if s.NumNodes < 0 || s.NumNodes > nodes {
		return fmt.Errorf("the job asks for %d nodes and the cluster has %d", s.NumNodes, nodes)
	}
	if strings.ContainsRune(s.Run+s.Setup, 0) {
		return errors.New("the script holds a NUL byte")
	}
	for _, vars := range []map[string]string{s.Envs, s.Secrets} {
		for name, value := range vars {
			if !envName.MatchString(name) {
				return fmt.Errorf("environment variable %q: a name is letters, digits and underscores and starts with no digit", name)
			}
			if strings.ContainsRune(value, 0) {
				return fmt.Errorf("environment variable %s: its value holds a NUL byte", name)
			}
		}
	}
	if err := script.CheckVars(s.Envs, s.Secrets); err != nil {
		return err
	}
	if s.MaxDuration < 0 || s.Grace < 0 || s.MaxRestarts < 0 || s.Parallel < 0 || s.LogLimit < 0 {
		return errors.New("durations, counts and limits cannot be negative")
	}
	return nil
}

func (s Spec) withDefaults(nodes int) Spec {
	s.NumNodes = cmp.Or(s.NumNodes, nodes)
	s.Parallel = cmp.Or(s.Parallel, 1)
	s.LogLimit = cmp.Or(s.LogLimit, 1<<30)
	s.Grace = cmp.Or(s.Grace, 10*time.Second)
	return s
}

// canonical is the part of a Spec that makes a job what it is. Field order and
// names are fixed: changing them gives every job a new id.
type canonical struct {
	Name        string            `json:"name"`
	Run         string            `json:"run"`
	Setup       string            `json:"setup,omitempty"`
	RunID       string            `json:"run_id,omitempty"`
	NumNodes    int               `json:"num_nodes"`
	Envs        map[string]string `json:"envs,omitempty"`
	Secrets     []string          `json:"secrets,omitempty"` // names only
	Version     string            `json:"secrets_version,omitempty"`
	Workdir     string            `json:"workdir,omitempty"` // digest
	Parallel    int               `json:"parallel"`
	MaxDuration string            `json:"max_duration,omitempty"`
	Recover     []int             `json:"recover,omitempty"`
	MaxRestarts int               `json:"max_restarts,omitempty"`
	Resources   *Resources        `json:"resources,omitempty"`
}

func (s Spec) canonical(workdirDigest string) ([]byte, error) {
	c := canonical{
		Name: s.Name, Run: s.Run, Setup: s.Setup, RunID: s.RunID, NumNodes: s.NumNodes, Envs: s.Envs,
		Version: s.SecretsVersion, Workdir: workdirDigest, Parallel: s.Parallel, Recover: s.RecoverOnExitCodes, MaxRestarts: s.MaxRestarts,
		Resources: s.Resources,
	}
	for name := range s.Secrets {
		c.Secrets = append(c.Secrets, name)
	}
	slices.Sort(c.Secrets)
	if s.MaxDuration > 0 {
		c.MaxDuration = s.MaxDuration.String()
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encoding the job: %w", err)
	}
	return text, nil
}

func idOf(generation string, spec []byte) ID {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d:%s", len(generation), generation) // a hash takes everything
	_, _ = h.Write(spec)
	return ID(hex.EncodeToString(h.Sum(nil))[:24])
}

var validID = regexp.MustCompile(`^[0-9a-f]{24}$`)

// dir is the job's folder on a node, relative to the home folder.
func (id ID) dir() string { return ".sky/jobs/" + string(id) }

func (id ID) check() error {
	if !validID.MatchString(string(id)) {
		return fmt.Errorf("%w: %q is not an id", ErrNotFound, remote.Clean(string(id)))
	}
	return nil
}

// ask runs a mode of the job's own runner on one node.
func (r *Runner) ask(ctx context.Context, rank int, id ID, mode string) (string, error) {
	if err := id.check(); err != nil {
		return "", err
	}
	script := fmt.Sprintf("if [ -d %[1]s ]; then exec sh %[1]s/runner.sh %[2]s; fi; echo absent", id.dir(), mode)
	out, err := r.output(ctx, rank, script)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(out) == "absent" {
		return "", ErrNotFound
	}
	return out, nil
}
