// SPDX-License-Identifier: MPL-2.0

package cluster

import (
	"fmt"
	"os"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// CheckHostKeys refuses a cluster whose machines nobody could tell from others'.
func (c Cluster) CheckHostKeys() error {
	for _, n := range c.Nodes {
		if n.HostKey == "" {
			return &MissingHostKeyError{Cluster: c.Name, Rank: n.Rank, InstanceID: n.InstanceID}
		}
	}
	return nil
}

// MissingHostKeyError says that the host key of a machine is not known here, so
// that nothing may connect to it.
type MissingHostKeyError struct {
	Cluster, InstanceID string
	Rank                int
}

// Error implements error; it says how to go on.
func (e *MissingHostKeyError) Error() string {
	return fmt.Sprintf("the host key of rank %d of cluster %q (%s) is not known, so that it cannot be told from another machine: it does not carry the tag %s. "+
		"Machines that an earlier release launched have it once the cluster is changed where its host keys are in state: add a label, for instance, and apply",
		e.Rank, e.Cluster, e.InstanceID, cloud.TagHostKey)
}

// MissingKeyError says that the key which a cluster's machines accept is not
// on this machine. Another one is never made for machines that run.
type MissingKeyError struct {
	Cluster string
	Path    string
	Err     error
}

// Error implements error; it says how to go on.
func (e *MissingKeyError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("the private key of cluster %q is not on this computer. Its machines accept the key they were launched with and no other: "+
			"set ssh_private_key_path or ssh_private_key in the provider block, or SKY_SSH_PRIVATE_KEY, if it was yours; "+
			"else bring the key file back from the state folder of the computer that launched it. Refresh, stop and destroy need no key", e.Cluster)
	}
	return fmt.Sprintf("the private key of cluster %q cannot be read: %s. Its machines accept no other key, and none is made anew while they run. "+
		"Bring the file back from where the cluster was launched or from a backup of that state folder, with mode 0600; or have the cluster replaced with "+
		"terraform apply -replace=<its address>. Refresh, stop and destroy need no key", e.Cluster, e.Err)
}

// Unwrap implements the error chain.
func (e *MissingKeyError) Unwrap() error { return e.Err }

// CheckKey returns a *MissingKeyError unless the cluster's private key is here.
func (c Cluster) CheckKey() error {
	if c.KeyPath == "" {
		return &MissingKeyError{Cluster: c.Name}
	}
	f, err := os.Open(c.KeyPath)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return &MissingKeyError{Cluster: c.Name, Path: c.KeyPath, Err: err}
	}
	return nil
}
