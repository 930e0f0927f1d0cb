// SPDX-License-Identifier: MPL-2.0

// Package provider is what Terraform sees: schemas, models, plan decisions and
// diagnostics. It converts between Terraform's values and the other rooms' and
// leaves every decision about machines to them.
package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider/catalogs"
	"github.com/skybroker/terraform-provider-sky/internal/provider/clusters"
	"github.com/skybroker/terraform-provider-sky/internal/provider/functions"
	"github.com/skybroker/terraform-provider-sky/internal/provider/jobs"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

var (
	_ provider.Provider                   = (*skyProvider)(nil)
	_ provider.ProviderWithValidateConfig = (*skyProvider)(nil)

	_ provider.ProviderWithEphemeralResources = (*skyProvider)(nil)
)

// New returns the provider's constructor. Its clouds are those of the registry.
func New(version string, registry *cloud.Registry) func() provider.Provider {
	return newWith(context.Background(), version, registry, session.NewOperations())
}

// newWith is New with the context whose end stops every operation.
func newWith(root context.Context, version string, registry *cloud.Registry, ops *session.Operations) func() provider.Provider {
	return func() provider.Provider {
		return &skyProvider{version: version, registry: registry, root: root, ops: ops}
	}
}

type skyProvider struct {
	version  string
	registry *cloud.Registry
	root     context.Context
	ops      *session.Operations
}

// providerModel is the provider block.
type providerModel struct {
	StateDir          types.String `tfsdk:"state_dir"`
	Owner             types.String `tfsdk:"owner"`
	SSHPrivateKeyPath types.String `tfsdk:"ssh_private_key_path"`
	SSHPrivateKey     types.String `tfsdk:"ssh_private_key"`
	Bastion           types.Object `tfsdk:"bastion"`
	TemplatesDir      types.String `tfsdk:"templates_dir"`
	Catalog           types.Object `tfsdk:"catalog"`
	Clouds            types.Object `tfsdk:"clouds"`
	EnabledClouds     types.List   `tfsdk:"enabled_clouds"`
	PreferredRegions  types.List   `tfsdk:"preferred_regions"`
	ShowPlanTable     types.Bool   `tfsdk:"show_plan_table"`
}

// catalogModel is the provider block's catalog object.
type catalogModel struct {
	Path    types.String `tfsdk:"path"`
	Version types.String `tfsdk:"version"`
	Offline types.Bool   `tfsdk:"offline"`
	BaseURL types.String `tfsdk:"base_url"`
	TTL     types.String `tfsdk:"ttl"`
}

func (p *skyProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "sky"
	resp.Version = p.version
}

func (p *skyProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Launches clusters on the cheapest machines of every enabled cloud that fit, with failover, and runs jobs on them over SSH. " +
			"Every setting has a default; the built-in cloud `fluffycloud` needs no account.",
		Attributes: map[string]schema.Attribute{
			"state_dir": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Folder for what outlives a run: the journal of machines, generated SSH keys, catalogs and logs. Made with mode 0700. " +
					"Default `~/.terraform-provider-sky`, or the environment variable `SKY_STATE_DIR`.",
				Validators: []validator.String{kit.NotBlank(), kit.Checked(kit.CheckNewFolder)},
			},
			"owner": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Marks every machine as ours, in its tags: 3 to 40 lower-case letters, digits and dashes. Set it to the same value where several people manage one state. " +
					"Default a random id kept in `state_dir`, or the environment variable `SKY_OWNER`.",
				Validators: []validator.String{kit.Checked(checkOwner)},
			},
			"ssh_private_key_path": keyPathAttribute(),
			"ssh_private_key":      keyTextAttribute(),
			"bastion":              p.bastionAttribute(),
			"templates_dir": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Folder whose `<cloud>.yaml.tmpl` files replace the built-in cluster templates.",
				Validators:          []validator.String{kit.Checked(kit.CheckFolder)},
			},
			"catalog": catalogAttribute(),
			"clouds":  cloudsAttribute(p.registry),
			"enabled_clouds": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "The only clouds that may be used. Default all of them but the built-in `fluffycloud`, whose machines are simulated and which must be named, here, in `clouds` or in `infra`. " +
					"A cloud whose credentials are missing is passed over with its reason.",
				Validators: []validator.List{kit.NotEmpty(), kit.Elements(p.checkCloud), kit.NoDuplicates()},
			},
			"preferred_regions": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Regions that win among offers of one price, wherever `preferred_regions` of `resources` does not say; the first before the second, then regions near them. Default the regions that most users expect, those of the United States first.",
				Validators:          []validator.List{kit.NotEmpty(), kit.Elements(kit.CheckPlaceName), kit.NoDuplicates()},
			},
			"show_plan_table": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether the plan of a new cluster shows the table of machines considered, as a warning. Default `true`.",
			},
		},
	}
}

func keyPathAttribute() schema.Attribute {
	return schema.StringAttribute{
		Optional: true,
		MarkdownDescription: "Your own SSH private key, in the OpenSSH or PEM format and without a passphrase, which every machine will accept. " +
			"Default a key made for each cluster under `state_dir`. The key's content never enters state.",
		Validators: []validator.String{kit.NotBlank(), kit.Checked(session.IfThere(session.CheckPrivateKey))},
	}
}

func keyTextAttribute() schema.Attribute {
	return schema.StringAttribute{
		Optional: true, Sensitive: true,
		MarkdownDescription: "The text of that key instead of its path, for runners without files; an ephemeral value will do. Default the environment variable `SKY_SSH_PRIVATE_KEY`. " +
			"It is kept in memory alone: neither in state nor in a log nor on a disk. No other key is made then; `ssh_command` and `ssh_config_path` name none, so load it into an SSH agent to use them, or take `private_key` of `sky_cluster_ssh`. " +
			"Not together with `ssh_private_key_path`.",
		Validators: []validator.String{kit.Checked(session.CheckKeyText), stringvalidator.ConflictsWith(path.MatchRoot("ssh_private_key_path"))},
	}
}

func catalogAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: "Where prices come from: `path`, else files of your own under `state_dir`, else the last good copy of the hosted catalog, else what is built into the provider.",
		Attributes: map[string]schema.Attribute{
			"path": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Folder that holds `<cloud>/vms.csv` in SkyPilot's format; it wins over every other place.",
				Validators:          []validator.String{kit.Checked(kit.CheckFolder)},
			},
			"version": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Pins the catalogs' content: at least 8 hexadecimal digits of its hash, as `terraform-provider-sky catalog list` shows it. Another content is an error at plan. Nothing is refreshed meanwhile.",
				Validators:          []validator.String{kit.Checked(checkContentHash)},
			},
			"offline": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether refreshing catalogs over the network is forbidden. Default `false`, or the environment variable `SKY_CATALOG_OFFLINE`. A plan never waits for the network either way.",
			},
			"base_url": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Where hosted catalogs lie, as `<base_url>/v8/<cloud>/vms.csv` and `images.csv`. Default SkyPilot's public catalog.",
				Validators:          []validator.String{kit.Checked(checkWebAddress)},
			},
			"ttl": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "How old a copy of a hosted catalog gets before it is refreshed, a duration such as `24h`. Default `7h`, which is how often the public ones are written. " +
					"The refresh runs in the background; what it brings serves the next run.",
				Validators: []validator.String{kit.Checked(kit.CheckDuration)},
			},
		},
	}
}

// cloudsAttribute is generated from the drivers' own options, so that a new
// cloud needs no change here.
func cloudsAttribute(registry *cloud.Registry) schema.Attribute {
	clouds := map[string]schema.Attribute{}
	for _, name := range registry.Names() {
		factory, _ := registry.Get(name)
		options := map[string]schema.Attribute{}
		for _, o := range factory.Options() {
			options[o.Name] = schema.StringAttribute{
				Optional: true, Sensitive: o.Sensitive,
				MarkdownDescription: o.Description + envNote(o.Env),
			}
		}
		clouds[name] = schema.SingleNestedAttribute{
			Optional: true, Attributes: options,
			MarkdownDescription: "Settings of the cloud `" + name + "`.",
		}
	}
	return schema.SingleNestedAttribute{
		Optional: true, Attributes: clouds,
		MarkdownDescription: "Settings of each cloud. Without them a cloud's own environment variables and files are read.",
	}
}

func envNote(names []string) string {
	note := ""
	for i, n := range names {
		if i == 0 {
			note = " Default the environment variable `" + n + "`"
			continue
		}
		note += ", else `" + n + "`"
	}
	if note == "" {
		return ""
	}
	return note + "."
}

func (p *skyProvider) checkCloud(name string) error { return kit.CheckCloudName(p.registry, name) }

// ValidateConfig refuses a private key whose public half beside it is another's.
func (p *skyProvider) ValidateConfig(ctx context.Context, req provider.ValidateConfigRequest, resp *provider.ValidateConfigResponse) {
	var key types.String
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("ssh_private_key_path"), &key)...)
	if key.IsNull() || key.IsUnknown() {
		return
	}
	if err := session.IfThere(session.CheckKeyPair)(key.ValueString()); err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("ssh_private_key_path"), "Keys do not match", kit.Sentence(err.Error()))
	}
}

// Configure makes no call to any cloud and touches no file: what is needed is
// built when it is needed first.
func (p *skyProvider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var m providerModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	s, diags := p.settings(ctx, m)
	if resp.Diagnostics.Append(diags...); diags.HasError() {
		return
	}
	if !req.Config.Raw.IsFullyKnown() {
		s.Unknown = "the provider block holds values that are not known yet; apply what they come from first, with -target"
	}
	data := session.New(s)
	resp.ResourceData, resp.DataSourceData, resp.EphemeralResourceData = data, data, data
}

func (p *skyProvider) settings(ctx context.Context, m providerModel) (session.Settings, diag.Diagnostics) {
	s := session.Settings{
		Version: p.version, Registry: p.registry, Root: p.root, Ops: p.ops,
		StateDir: m.StateDir.ValueString(), Owner: m.Owner.ValueString(),
		TemplatesDir:  m.TemplatesDir.ValueString(),
		ShowPlanTable: m.ShowPlanTable.IsNull() || m.ShowPlanTable.ValueBool(),
		Enabled:       kit.StringList(m.EnabledClouds), Getenv: session.Getenv, PreferredRegions: kit.StringList(m.PreferredRegions),
	}
	var diags diag.Diagnostics
	s.UseKey(m.SSHPrivateKeyPath.ValueString(), m.SSHPrivateKey.ValueString())
	if s.KeyFrom == session.KeyVariable {
		if err := session.CheckKeyText(s.KeyText); err != nil {
			diags.AddError("Invalid "+session.KeyVariable, "The environment variable "+session.KeyVariable+" cannot be used: "+kit.Sentence(err.Error()))
		}
	}
	var c catalogModel
	if !m.Catalog.IsNull() && !m.Catalog.IsUnknown() {
		diags.Append(m.Catalog.As(ctx, &c, kit.ObjectOptions)...)
	}
	s.CatalogPath, s.CatalogVersion = c.Path.ValueString(), c.Version.ValueString()
	s.CatalogOffline, s.CatalogURL = c.Offline.ValueBool(), c.BaseURL.ValueString()
	if c.Offline.IsNull() {
		s.CatalogOffline = kit.Truthy(s.Getenv("SKY_CATALOG_OFFLINE"))
	}
	if text := c.TTL.ValueString(); text != "" {
		var err error
		if s.CatalogTTL, err = time.ParseDuration(text); err != nil {
			kit.Invalid(&diags, path.Root("catalog").AtName("ttl"), err.Error())
		}
	}
	s.Refresh = !m.Catalog.IsUnknown() && !c.Offline.IsUnknown() && !c.BaseURL.IsUnknown() && !c.TTL.IsUnknown() && !c.Version.IsUnknown()
	s.CatalogUnknown = m.Catalog.IsUnknown() || c.Path.IsUnknown() || c.Version.IsUnknown() || m.EnabledClouds.IsUnknown()
	s.Options = cloudOptions(m.Clouds)
	var more diag.Diagnostics
	s.Bastion, more = bastionSettings(ctx, m.Bastion, session.Getenv)
	s.BastionKey = bastionKeyText(m.Bastion)
	diags.Append(more...)
	return s, diags
}

// cloudOptions reads the generated object: cloud -> option -> value.
func cloudOptions(clouds types.Object) map[string]map[string]string {
	out := map[string]map[string]string{}
	for name, v := range clouds.Attributes() {
		object, ok := v.(types.Object)
		if !ok || object.IsNull() {
			continue
		}
		out[name] = map[string]string{}
		for option, v := range object.Attributes() {
			if s, ok := v.(types.String); ok && s.ValueString() != "" {
				out[name][option] = s.ValueString()
			}
		}
	}
	return out
}

func (p *skyProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{clusters.NewResource, jobs.NewResource}
}

// EphemeralResources implements provider.ProviderWithEphemeralResources.
func (p *skyProvider) EphemeralResources(context.Context) []func() ephemeral.EphemeralResource {
	return []func() ephemeral.EphemeralResource{clusters.NewSSH}
}

func (p *skyProvider) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{
		catalogs.NewOffer, catalogs.NewClouds, catalogs.NewAccelerators, clusters.NewDataSource, jobs.NewLogs,
	}
}

// Functions implements provider.ProviderWithFunctions.
func (p *skyProvider) Functions(context.Context) []func() function.Function {
	return functions.All()
}
