// SPDX-License-Identifier: MPL-2.0

package memcloud

import (
	"context"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// optionKey is the option that holds the key.
const optionKey = "key"

// Factory opens a Cloud. Every session has a memory of its own.
type Factory struct {
	Cloud *Cloud
	// Driver prepares the driver of a session; nil is a plain one.
	Driver func() *Driver
}

// Name implements cloud.Factory.
func (Factory) Name() string { return Name }

// Capabilities implements cloud.Factory.
func (f Factory) Capabilities() cloud.Capabilities { return f.Cloud.Caps }

// Options implements cloud.Factory.
func (Factory) Options() []cloud.Option {
	return []cloud.Option{{Name: optionKey, Description: "The key.", Sensitive: true}}
}

// Open implements cloud.Factory.
func (f Factory) Open(_ context.Context, creds cloud.Credentials) (cloud.Session, error) {
	d := &Driver{Cloud: f.Cloud}
	if f.Driver != nil {
		d = f.Driver()
	}
	leave, err := d.enter("open", "")
	switch {
	case err != nil:
		return cloud.Session{}, err
	case f.Cloud.Key != "" && creds.Values[optionKey] != f.Cloud.Key:
		return cloud.Session{}, ErrAuth
	}
	return cloud.Session{Provisioner: d, Account: f.Cloud.Account}, leave(nil)
}
