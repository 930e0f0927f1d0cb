// SPDX-License-Identifier: MPL-2.0

// Package guest is the inside of a FluffyCloud machine: one process that boots
// a disk, runs user data once, serves SSH on an address of its own, and takes
// everything it started with it when it ends.
package guest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/skybroker/terraform-provider-sky/internal/durable"
	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/procs"
)

// User is the only user of a machine.
const User = "fluffy"

// sshPort is where machines with an address of their own listen.
const sshPort = 2222

// markKey is the environment variable that every process of a machine carries.
const markKey = "FLUFFYCLOUD_MACHINE"

// Config is what the cloud tells a machine before its boot.
type Config struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Region string `json:"region"`
	Zone   string `json:"zone"`
	Type   string `json:"instance_type"`
	Boot   int    `json:"boot"`
	// Addresses are tried in order, on sshPort; where none can be had, any port
	// of 127.0.0.1 is.
	Addresses []string `json:"addresses"`
	// LastAddress and LastPort are tried first: those of the previous boot.
	LastAddress string `json:"last_address,omitempty"`
	LastPort    int    `json:"last_port,omitempty"`
	// AuthorizedKeys are in authorized_keys form.
	AuthorizedKeys []string `json:"authorized_keys"`
	UserData       []byte   `json:"user_data,omitempty"`
	// Command runs this binary's fluffycloud subcommand, for the disk's shims.
	Command []string `json:"command"`
	// ServerFile says where the cloud's API is, whenever it is needed.
	ServerFile string `json:"server_file"`
	// LockFile is locked as long as the cloud is served.
	LockFile string `json:"lock_file"`
	// Token is what the machine's own requests to the cloud carry.
	Token string `json:"token"`
	Fault Fault  `json:"fault"`
}

// Fault is what goes wrong inside a machine. The zero value is a healthy one.
type Fault struct {
	// SSH is "", "none" (nothing listens), "silent" (no banner), "babble" (an
	// endless banner), "wrong_host_key", "exec_refused" or "no_exit_status".
	SSH string `json:"ssh,omitempty"`
	// DieAtExec makes the machine die as a failing host would, when its n-th
	// command has started.
	DieAtExec int `json:"die_at_exec,omitempty"`
}

// Report is what a machine says once it has booted, or why it did not.
type Report struct {
	procs.ID
	Boot        int    `json:"boot"`
	Address     string `json:"address,omitempty"`
	Port        int    `json:"port,omitempty"`
	HostKey     string `json:"host_key,omitempty"`
	MetadataURL string `json:"metadata_url,omitempty"`
	Error       string `json:"error,omitempty"`
}

// Paths are the files of one machine.
type Paths struct{ Dir string }

// Config is the machine's configuration, outside of its disk.
func (p Paths) Config() string { return filepath.Join(p.Dir, "machine.json") }

// Report is where the machine reports.
func (p Paths) Report() string { return filepath.Join(p.Dir, "run.json") }

// SelfRequest holds what the machine asked for while the cloud did not answer.
func (p Paths) SelfRequest() string { return filepath.Join(p.Dir, "self.json") }

// Expiry holds the time of the machine's dead-man timer, if it has one.
func (p Paths) Expiry() string { return filepath.Join(p.Dir, "expires_at") }

// Disk is what survives a stop.
func (p Paths) Disk() string { return filepath.Join(p.Dir, "disk") }

// Home is the user's home folder.
func (p Paths) Home() string { return filepath.Join(p.Disk(), "home") }

// Bin holds the image's own commands.
func (p Paths) Bin() string { return filepath.Join(p.Disk(), "bin") }

// Tmp is the machine's folder for temporary files.
func (p Paths) Tmp() string { return filepath.Join(p.Disk(), "tmp") }

// HostKey is the machine's private SSH key.
func (p Paths) HostKey() string { return filepath.Join(p.Disk(), "etc", "ssh_host_ed25519_key") }

// Token is the file with the machine's own token.
func (p Paths) Token() string { return filepath.Join(p.Disk(), "etc", "metadata-token") }

// Booted marks that user data was started; it is never started again.
func (p Paths) Booted() string { return filepath.Join(p.Disk(), "etc", "first-boot") }

// Crontab is what the machine's crontab command wrote.
func (p Paths) Crontab() string { return filepath.Join(p.Disk(), "etc", "crontab") }

// Console is what a screen would show.
func (p Paths) Console() string { return filepath.Join(p.Disk(), "console.log") }

// AuthorizedKeys says who may log in.
func (p Paths) AuthorizedKeys() string { return filepath.Join(p.Home(), ".ssh", "authorized_keys") }

// Marks tell the processes of the machine id, whose files are in p.
func (p Paths) Marks(id string) procs.Marks {
	return procs.Marks{Env: markKey + "=" + id, Dir: p.Dir}
}

// SelfRequest is a stop or terminate that a machine asked of its cloud.
type SelfRequest struct {
	Action string `json:"action"`
	Reason string `json:"reason,omitempty"`
}

// WriteJSON replaces a file at once, readable by its owner only.
func WriteJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", filepath.Base(path), err)
	}
	return WriteFile(path, data, 0o600)
}

// WriteFile replaces a file at once. It is not flushed to the disk.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	if err := durable.ReplaceCached(path, data, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// ReadJSON reads what WriteJSON wrote.
func ReadJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}
