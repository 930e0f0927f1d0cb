// SPDX-License-Identifier: MPL-2.0

// Package session is what one process of the provider has: the provider block in
// plain values, the broker and the catalogs, which are opened when they are first
// needed, the life of the process that asked for it, and what was told already.
package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/catalog"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/statefolder"
)

// Getenv is the environment, where settings take it from.
func Getenv(name string) string { return os.Getenv(name) }

// DefaultRead bounds operations that only look, where nothing else bounds them.
const DefaultRead = 5 * time.Minute

// Settings are the provider block in plain values.
type Settings struct {
	Version  string
	Registry *cloud.Registry
	Root     context.Context
	Ops      *Operations

	StateDir, Owner, TemplatesDir string
	// KeyPath is the user's own key, else keyText is, which keyFrom brought.
	KeyPath, KeyText, KeyFrom               string
	CatalogPath, CatalogVersion, CatalogURL string
	CatalogOffline, CatalogUnknown          bool
	CatalogTTL                              time.Duration
	// Refresh is that hosted catalogs may be brought up to date behind the back
	// of what the process does.
	Refresh bool
	Enabled []string
	// PreferredRegions win among offers of one price, where resources do not say.
	PreferredRegions []string
	Options          map[string]map[string]string
	ShowPlanTable    bool
	Bastion          *cluster.Bastion
	// BastionKey is the path of the bastion's key as it is written.
	BastionKey string
	// Unknown says why no cloud can be used yet; empty is that they can.
	Unknown string
	Getenv  func(string) string
}

// Folder is the state folder: as configured, else from the environment, else
// in the home folder.
func (s Settings) Folder() (string, error) {
	dir, err := statefolder.Resolve(s.StateDir, s.Getenv)
	if err != nil {
		return "", err
	}
	if err := kit.CheckNewFolder(dir); err != nil {
		return "", fmt.Errorf("state_dir of the provider block, else SKY_STATE_DIR: %w", err)
	}
	return dir, nil
}

// Clouds are the clouds that may be used.
func (s Settings) Clouds() []string {
	if len(s.Enabled) > 0 {
		return s.Enabled
	}
	return s.Registry.Names()
}

// Candidates are the clouds to search for the requirements: all that may be
// used, less those that must be named and are not, neither in the provider
// block nor in a requirement. None at all is an error that says what to name.
func (s Settings) Candidates(reqs []cloud.Requirement) ([]string, error) {
	left := slices.DeleteFunc(slices.Clone(s.Clouds()), func(name string) bool {
		return s.mustBeNamed(name) && !slices.ContainsFunc(reqs, func(r cloud.Requirement) bool { return r.Cloud == name })
	})
	if len(left) == 0 {
		return nil, fmt.Errorf("no cloud is left to search; %s must be named, in infra, in clouds or in the provider block",
			strings.Join(s.Clouds(), " and "))
	}
	return left, nil
}

// CloudHints say which clouds of the requirements cannot be used at all.
func (s Settings) CloudHints(reqs []cloud.Requirement) []string {
	var hints []string
	for _, r := range reqs {
		hint := ""
		if err := kit.CheckCloudName(s.Registry, r.Cloud); err != nil {
			hint = err.Error()
		} else if !slices.Contains(s.Clouds(), r.Cloud) {
			hint = fmt.Sprintf("%s is not among enabled_clouds of the provider block: %s", r.Cloud, strings.Join(s.Clouds(), ", "))
		}
		if r.Cloud != "" && hint != "" && !slices.Contains(hints, hint) {
			hints = append(hints, hint)
		}
	}
	return hints
}

// mustBeNamed reports whether a cloud is used only where it is named.
func (s Settings) mustBeNamed(name string) bool {
	f, ok := s.Registry.Get(name)
	_, inBlock := s.Options[name]
	return ok && f.Capabilities().OptIn && len(s.Enabled) == 0 && !inBlock
}

// SellingSpot are those of the clouds that have spot machines.
func (s Settings) SellingSpot(clouds []string) []string {
	return slices.DeleteFunc(slices.Clone(clouds), func(name string) bool {
		f, ok := s.Registry.Get(name)
		return !ok || !f.Capabilities().Spot
	})
}

// ForgetUnnamed leaves out the offers of a cloud that must be named where they
// serve only requirements that do not name it.
func (s Settings) ForgetUnnamed(offers iter.Seq[*cloud.Offer], reqs []cloud.Requirement) iter.Seq[*cloud.Offer] {
	unnamed := func(o *cloud.Offer) bool {
		named := slices.DeleteFunc(slices.Clone(reqs), func(r cloud.Requirement) bool { return r.Cloud != o.Cloud })
		return len(named) < len(reqs) && (len(named) == 0 || !optimizer.Satisfies(optimizer.Request{Alternatives: named}, *o))
	}
	return func(yield func(*cloud.Offer) bool) {
		must := make(map[string]bool)
		for o := range offers {
			named, known := must[o.Cloud]
			if !known {
				named = s.mustBeNamed(o.Cloud)
				must[o.Cloud] = named
			}
			if !(named && unnamed(o)) && !yield(o) {
				return
			}
		}
	}
}

// Credentials are a cloud's options, from the configuration, else from the
// environment variables that the driver names.
func (s Settings) Credentials(cloudName, stateDir, executable string) cloud.Credentials {
	values := map[string]string{}
	if factory, ok := s.Registry.Get(cloudName); ok {
		for _, o := range factory.Options() {
			value := s.Options[cloudName][o.Name]
			for _, env := range o.Env {
				if value == "" {
					value = s.Getenv(env)
				}
			}
			if value != "" {
				values[o.Name] = value
			}
		}
	}
	return cloud.Credentials{Values: values, StateDir: stateDir, Executable: executable}
}

// workspaceHome says whose Terraform state this process works for.
func (s Settings) workspaceHome() string {
	dir, err := os.Getwd()
	if err != nil {
		dir = "an unknown folder"
	}
	workspace := s.Getenv("TF_WORKSPACE")
	if workspace == "" {
		data := s.Getenv("TF_DATA_DIR")
		if data == "" {
			data = ".terraform"
		}
		if text, err := os.ReadFile(filepath.Join(data, "environment")); err == nil {
			workspace = strings.TrimSpace(string(text))
		}
	}
	if workspace == "" {
		workspace = "default"
	}
	return dir + " (" + workspace + ")"
}

// Session is what Configure hands to resources and data sources. The
// broker and the catalogs are opened when first needed.
type Session struct {
	Settings

	mu      sync.Mutex
	set     *catalog.Set
	notes   catalogNotes
	brokers any // *broker.Broker, or what a test has put here
	dir     string
	// going notes which clusters the plan removes. silent are clusters whose head
	// was found not to answer, unwanted the jobs whose removal no head was told of.
	going            goneSoon
	Silent, Unwanted Names
	// Prior are the clusters that the plan has seen in state.
	Prior priorClusters
	// Warned are the warnings that were given, once for all clusters.
	Warned Names
}

// Over is newProviderData over a broker that is there already; tests have fakes.
func Over(b any, s Settings) *Session {
	return &Session{Settings: s, brokers: b}
}

// New makes a session that has opened nothing yet.
func New(s Settings) *Session {
	return &Session{Settings: s}
}

// OwnerSet is the owner id as configured, else from the environment; empty is the
// one of the state folder.
func (s Settings) OwnerSet() string {
	if s.Owner != "" {
		return s.Owner
	}
	return s.Getenv("SKY_OWNER")
}

// Catalogs returns the catalogs; it reads none yet.
func (d *Session) Catalogs() (*catalog.Set, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.catalogsLocked()
}

func (d *Session) catalogsLocked() (*catalog.Set, error) {
	if d.set != nil {
		return d.set, nil
	}
	dir, err := d.Folder()
	if err != nil {
		return nil, err
	}
	set, err := catalog.Open(catalog.Options{
		Path: kit.ExpandHome(d.CatalogPath), StateDir: dir, Version: d.CatalogVersion, Offline: d.CatalogOffline,
		BaseURL: d.CatalogURL, TTL: d.CatalogTTL,
	})
	if err != nil {
		return nil, err
	}
	d.set = set
	return set, nil
}

// StateFolder is the state folder, whether it exists or not.
func (d *Session) StateFolder() (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dir == "" {
		dir, err := d.Folder()
		if err != nil {
			return "", err
		}
		d.dir = dir
	}
	return d.dir, nil
}

// Broker returns the process's broker as the methods that its caller declares,
// making it and the state folder first where need be.
func Broker[B any](d *Session) (B, error) {
	var as B
	dir, err := d.StateFolder()
	if err != nil {
		return as, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.brokers == nil {
		if d.Unknown != "" {
			return as, errors.New(d.Unknown)
		}
		b, err := d.openBroker(dir)
		if err != nil {
			return as, err
		}
		d.brokers = b
	}
	as, ok := d.brokers.(B)
	if !ok {
		return as, fmt.Errorf("the broker, a %T, is no %T; this is a bug of the provider", d.brokers, &as)
	}
	return as, nil
}

// OpenedBroker is brokerAs for a broker that was made already; false is that there is none.
func OpenedBroker[B any](d *Session) (B, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	as, ok := d.brokers.(B)
	return as, ok
}

func (d *Session) openBroker(dir string) (*broker.Broker, error) {
	set, err := d.catalogsLocked()
	if err != nil {
		return nil, err
	}
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the provider's own binary: %w", err)
	}
	// Where it cannot be made, the broker still reads and removes what a state
	// holds, and says at a launch what is wrong.
	_ = os.MkdirAll(dir, 0o700)
	b, err := broker.New(broker.Config{
		Bastion:  d.OpenBastion(),
		StateDir: dir, Owner: d.OwnerSet(), Home: d.workspaceHome(), Registry: d.Registry,
		Credentials: func(name string) cloud.Credentials { return d.Credentials(name, dir, executable) },
		TemplateDir: d.TemplatesDir, Images: set.Image, Signers: d.signers, KeyPath: kit.ExpandHome(d.KeyPath), Log: newTflogLogger(),
	})
	if err != nil {
		return nil, err
	}
	d.Ops.atEnd(b.HandOver)
	return b, nil
}

// Capabilities of the clouds that may be used, for the optimizer.
func (d *Session) Capabilities() map[string]cloud.Capabilities {
	out := map[string]cloud.Capabilities{}
	for _, name := range d.Clouds() {
		if caps, ok := d.CapabilitiesOf(name); ok {
			out[name] = caps
		}
	}
	return out
}

// CapabilitiesOf are those of a cloud of this build, whether it may be used or not.
func (d *Session) CapabilitiesOf(name string) (cloud.Capabilities, bool) {
	return d.Registry.Capabilities(name, d.Credentials(name, "", ""))
}

// InAutomation reports whether this run is one of many computers' in turn.
func (s Settings) InAutomation() bool {
	return kit.Truthy(s.Getenv("CI")) || s.Getenv("TF_IN_AUTOMATION") != "" || s.Getenv("TFC_RUN_ID") != ""
}

// Of checks what Terraform hands back; nil before Configure.
func Of(v any, diags *diag.Diagnostics) *Session {
	if v == nil {
		return nil
	}
	data, ok := v.(*Session)
	if !ok {
		diags.AddError("Unexpected provider data", fmt.Sprintf("The provider handed out a %T. This is a bug of the provider.", v))
	}
	return data
}
