// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"iter"

	"github.com/spf13/cobra"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/broker/gc"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/cli"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"

	fetchers "github.com/skybroker/terraform-provider-sky/internal/catalog/fetch/all"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// Tools returns the commands for people beside the provider.
func Tools(version string, registry *cloud.Registry) []*cobra.Command {
	return []*cobra.Command{gc.Command(openCollector(version, registry)), cli.Command(cli.Options{
		Fetchers: fetchers.Fetchers(), OptIn: optIn(registry), Explain: explainNone,
	})}
}

// openCollector returns how gc is opened: over a state folder, for an owner id,
// with the clouds' settings from the environment. Empty strings are the provider's
// own defaults.
func openCollector(version string, registry *cloud.Registry) func(stateDir, owner string) (gc.Collector, error) {
	return func(stateDir, owner string) (gc.Collector, error) {
		b, err := session.Broker[*broker.Broker](session.New(session.Settings{
			Version: version, Registry: registry, Root: context.Background(), Ops: session.NewOperations(),
			StateDir: stateDir, Owner: owner, Getenv: session.Getenv,
		}))
		if err != nil {
			return gc.Collector{}, err
		}
		down, err := b.Teardown()
		return gc.Collector{Down: down}, err
	}
}

// optIn names the clouds that are used only where they are named.
func optIn(registry *cloud.Registry) []string {
	var out []string
	for _, name := range registry.Names() {
		if f, ok := registry.Get(name); ok && f.Capabilities().OptIn {
			out = append(out, name)
		}
	}
	return out
}

// explainNone says why no offer satisfies a requirement.
func explainNone(r cloud.Requirement, offers iter.Seq[*cloud.Offer]) error {
	_, err := optimizer.RankEach(optimizer.Request{Alternatives: []cloud.Requirement{r}}, offers, nil, nil)
	return err
}
