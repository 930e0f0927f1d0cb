// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"iter"

	"github.com/spf13/cobra"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/broker/cost"
	"github.com/skybroker/terraform-provider-sky/internal/broker/gc"
	"github.com/skybroker/terraform-provider-sky/internal/broker/status"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/cli"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"

	fetchers "github.com/skybroker/terraform-provider-sky/internal/catalog/fetch/all"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// Tools returns the commands for people beside the provider.
func Tools(version string, registry *cloud.Registry) []*cobra.Command {
	open := openTeardown(version, registry)
	collector := func(stateDir, owner string) (gc.Collector, error) {
		down, err := open(stateDir, owner)
		return gc.Collector{Down: down}, err
	}
	viewer := func(stateDir, owner string) (status.Viewer, error) {
		b, err := openBroker(version, registry, stateDir, owner)
		if err != nil {
			return status.Viewer{}, err
		}
		return b.Viewer()
	}
	return []*cobra.Command{gc.Command(collector), cost.Command(open), status.Command(viewer), cli.Command(cli.Options{
		Fetchers: fetchers.Fetchers(), OptIn: optIn(registry), Explain: explainNone,
	})}
}

// openTeardown returns how gc and cost are opened: over a state folder, for an owner id.
func openTeardown(version string, registry *cloud.Registry) func(stateDir, owner string) (teardown.Teardown, error) {
	return func(stateDir, owner string) (teardown.Teardown, error) {
		b, err := openBroker(version, registry, stateDir, owner)
		if err != nil {
			return teardown.Teardown{}, err
		}
		return b.Teardown()
	}
}

// openBroker opens a broker for the commands that look at all clusters, with the clouds'
// settings from the environment. Empty strings are the provider's own defaults.
func openBroker(version string, registry *cloud.Registry, stateDir, owner string) (*broker.Broker, error) {
	settings := session.Settings{
		Version: version, Registry: registry, Root: context.Background(), Ops: session.NewOperations(),
		StateDir: stateDir, Owner: owner, Getenv: session.Getenv,
	}
	settings.UseKey("", "")
	return session.Broker[*broker.Broker](session.New(settings))
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
