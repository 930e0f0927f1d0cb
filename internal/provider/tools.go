// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/catalog"
	fetchers "github.com/skybroker/terraform-provider-sky/internal/catalog/fetch/all"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Tools returns the commands for people beside the provider.
func Tools(version string, registry *cloud.Registry) []*cobra.Command {
	return []*cobra.Command{broker.GCCommand(openBroker(version, registry)), catalog.Command(defaultFolder, fetchers.Fetchers())}
}

// openBroker returns how tools open a broker: over a state folder, for an owner
// id, with the clouds' settings from the environment. Empty strings are the
// provider's own defaults.
func openBroker(version string, registry *cloud.Registry) func(stateDir, owner string) (*broker.Broker, error) {
	return func(stateDir, owner string) (*broker.Broker, error) {
		d := newProviderData(settings{
			version: version, registry: registry, root: context.Background(), ops: newOperations(),
			stateDir: stateDir, owner: owner, getenv: osGetenv,
		})
		opened, err := d.broker()
		if err != nil {
			return nil, err
		}
		b, ok := opened.(*broker.Broker)
		if !ok {
			return nil, errors.New("the provider's broker is not the real one")
		}
		return b, nil
	}
}

// defaultFolder is the state folder where nothing names another.
func defaultFolder() (string, error) {
	return settings{getenv: osGetenv}.folder()
}
