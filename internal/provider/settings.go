// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// osGetenv is the environment, where settings take it from.
func osGetenv(name string) string { return os.Getenv(name) }

// defaultRead bounds operations that only look, where nothing else bounds them.
const defaultRead = 5 * time.Minute

// settings are the provider block in plain values.
type settings struct {
	version  string
	registry *cloud.Registry
	root     context.Context
	ops      *operations

	stateDir, owner, templatesDir string
	// keyPath is the user's own key, else keyText is, which keyFrom brought.
	keyPath, keyText, keyFrom               string
	catalogPath, catalogVersion, catalogURL string
	catalogOffline, catalogUnknown          bool
	catalogTTL                              time.Duration
	// refresh is that hosted catalogs may be brought up to date behind the back
	// of what the process does.
	refresh       bool
	enabled       []string
	options       map[string]map[string]string
	showPlanTable bool
	bastion       *broker.Bastion
	// bastionKey is the path of the bastion's key as it is written.
	bastionKey string
	// unknown says why no cloud can be used yet; empty is that they can.
	unknown string
	getenv  func(string) string
}

// folder is the state folder: as configured, else from the environment, else
// in the home folder.
func (s settings) folder() (string, error) {
	dir := s.stateDir
	if dir == "" {
		dir = s.getenv("SKY_STATE_DIR")
	}
	if dir == "" {
		base, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("there is no home folder to keep state in; set state_dir: %w", err)
		}
		dir = filepath.Join(base, ".terraform-provider-sky")
	}
	if rest, ok := strings.CutPrefix(dir, "~/"); ok {
		base, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("state_dir %q: %w", dir, err)
		}
		dir = filepath.Join(base, rest)
	}
	if err := checkNewFolder(dir); err != nil {
		return "", fmt.Errorf("state_dir of the provider block, else SKY_STATE_DIR: %w", err)
	}
	return filepath.Abs(dir)
}

// clouds are the clouds that may be used.
func (s settings) clouds() []string {
	if len(s.enabled) > 0 {
		return s.enabled
	}
	return s.registry.Names()
}

// candidates are the clouds to search for the requirements: all that may be
// used, less those that must be named and are not, neither in the provider
// block nor in a requirement. None at all is an error that says what to name.
func (s settings) candidates(reqs []cloud.Requirement) ([]string, error) {
	left := slices.DeleteFunc(slices.Clone(s.clouds()), func(name string) bool {
		return s.mustBeNamed(name) && !slices.ContainsFunc(reqs, func(r cloud.Requirement) bool { return r.Cloud == name })
	})
	if len(left) == 0 {
		return nil, fmt.Errorf("no cloud is left to search; %s must be named, in infra, in clouds or in the provider block",
			strings.Join(s.clouds(), " and "))
	}
	return left, nil
}

// cloudHints say which clouds of the requirements cannot be used at all.
func (s settings) cloudHints(reqs []cloud.Requirement) []string {
	var hints []string
	for _, r := range reqs {
		hint := ""
		if err := checkCloudName(s.registry, r.Cloud); err != nil {
			hint = err.Error()
		} else if !slices.Contains(s.clouds(), r.Cloud) {
			hint = fmt.Sprintf("%s is not among enabled_clouds of the provider block: %s", r.Cloud, strings.Join(s.clouds(), ", "))
		}
		if r.Cloud != "" && hint != "" && !slices.Contains(hints, hint) {
			hints = append(hints, hint)
		}
	}
	return hints
}

// mustBeNamed reports whether a cloud is used only where it is named.
func (s settings) mustBeNamed(name string) bool {
	f, ok := s.registry.Get(name)
	_, inBlock := s.options[name]
	return ok && f.Capabilities().OptIn && len(s.enabled) == 0 && !inBlock
}

// forgetUnnamed drops the offers of a cloud that must be named where they
// serve only requirements that do not name it.
func (s settings) forgetUnnamed(offers []cloud.Offer, reqs []cloud.Requirement) []cloud.Offer {
	return slices.DeleteFunc(offers, func(o cloud.Offer) bool {
		if !s.mustBeNamed(o.Cloud) {
			return false
		}
		named := slices.DeleteFunc(slices.Clone(reqs), func(r cloud.Requirement) bool { return r.Cloud != o.Cloud })
		return len(named) < len(reqs) && (len(named) == 0 || !optimizer.Satisfies(optimizer.Request{Alternatives: named}, o))
	})
}

// credentials are a cloud's options, from the configuration, else from the
// environment variables that the driver names.
func (s settings) credentials(cloudName, stateDir, executable string) cloud.Credentials {
	values := map[string]string{}
	if factory, ok := s.registry.Get(cloudName); ok {
		for _, o := range factory.Options() {
			value := s.options[cloudName][o.Name]
			for _, env := range o.Env {
				if value == "" {
					value = s.getenv(env)
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
func (s settings) workspaceHome() string {
	dir, err := os.Getwd()
	if err != nil {
		dir = "an unknown folder"
	}
	workspace := s.getenv("TF_WORKSPACE")
	if workspace == "" {
		data := s.getenv("TF_DATA_DIR")
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

// providerData is what Configure hands to resources and data sources. The
// broker and the catalogs are opened when first needed.
type providerData struct {
	settings

	mu      sync.Mutex
	set     *catalog.Set
	notes   catalogNotes
	brokers any // *broker.Broker, or what a test has put here
	dir     string
	// going notes which clusters the plan removes. silent are clusters whose head
	// was found not to answer, unwanted the jobs whose removal no head was told of.
	going            goneSoon
	silent, unwanted names
	// prior are the clusters that the plan has seen in state.
	prior priorClusters
	// warned are the warnings that were given, once for all clusters.
	warned names
}

// newOver is newProviderData over a broker that is there already; tests have fakes.
func newOver(b any, s settings) *providerData {
	return &providerData{settings: s, brokers: b}
}

func newProviderData(s settings) *providerData {
	return &providerData{settings: s}
}

// ownerSet is the owner id as configured, else from the environment; empty is the
// one of the state folder.
func (s settings) ownerSet() string {
	if s.owner != "" {
		return s.owner
	}
	return s.getenv("SKY_OWNER")
}

// catalogs returns the catalogs; it reads none yet.
func (d *providerData) catalogs() (*catalog.Set, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.catalogsLocked()
}

func (d *providerData) catalogsLocked() (*catalog.Set, error) {
	if d.set != nil {
		return d.set, nil
	}
	dir, err := d.folder()
	if err != nil {
		return nil, err
	}
	set, err := catalog.Open(catalog.Options{
		Path: expandHome(d.catalogPath), StateDir: dir, Version: d.catalogVersion, Offline: d.catalogOffline,
		BaseURL: d.catalogURL, TTL: d.catalogTTL,
	})
	if err != nil {
		return nil, err
	}
	d.set = set
	return set, nil
}

// stateFolder is the state folder, whether it exists or not.
func (d *providerData) stateFolder() (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dir == "" {
		dir, err := d.folder()
		if err != nil {
			return "", err
		}
		d.dir = dir
	}
	return d.dir, nil
}

// brokerAs returns the process's broker as the methods that its caller declares,
// making it and the state folder first where need be.
func brokerAs[B any](d *providerData) (B, error) {
	var as B
	dir, err := d.stateFolder()
	if err != nil {
		return as, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.brokers == nil {
		if d.unknown != "" {
			return as, errors.New(d.unknown)
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

// openedAs is brokerAs for a broker that was made already; false is that there is none.
func openedAs[B any](d *providerData) (B, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	as, ok := d.brokers.(B)
	return as, ok
}

func (d *providerData) openBroker(dir string) (*broker.Broker, error) {
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
		Bastion:  d.openBastion(),
		StateDir: dir, Owner: d.ownerSet(), Home: d.workspaceHome(), Registry: d.registry,
		Credentials: func(name string) cloud.Credentials { return d.credentials(name, dir, executable) },
		TemplateDir: d.templatesDir, Images: set.Image, Signers: d.signers, KeyPath: expandHome(d.keyPath), Log: newTflogLogger(),
	})
	if err != nil {
		return nil, err
	}
	d.ops.atEnd(b.HandOver)
	return b, nil
}

// capabilities of the clouds that may be used, for the optimizer.
func (d *providerData) capabilities() map[string]cloud.Capabilities {
	out := map[string]cloud.Capabilities{}
	for _, name := range d.clouds() {
		if caps, ok := d.capabilitiesOf(name); ok {
			out[name] = caps
		}
	}
	return out
}

// capabilitiesOf are those of a cloud of this build, whether it may be used or not.
func (d *providerData) capabilitiesOf(name string) (cloud.Capabilities, bool) {
	return d.registry.Capabilities(name, d.credentials(name, "", ""))
}

// inAutomation reports whether this run is one of many computers' in turn.
func (s settings) inAutomation() bool {
	return truthy(s.getenv("CI")) || s.getenv("TF_IN_AUTOMATION") != "" || s.getenv("TFC_RUN_ID") != ""
}

// providerDataOf checks what Terraform hands back; nil before Configure.
func providerDataOf(v any, diags *diag.Diagnostics) *providerData {
	if v == nil {
		return nil
	}
	data, ok := v.(*providerData)
	if !ok {
		diags.AddError("Unexpected provider data", fmt.Sprintf("The provider handed out a %T. This is a bug of the provider.", v))
	}
	return data
}
