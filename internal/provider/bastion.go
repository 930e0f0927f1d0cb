// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

// bastionModel is the provider block's bastion object.
type bastionModel struct {
	Host           types.String `tfsdk:"host"`
	Port           types.Int64  `tfsdk:"port"`
	User           types.String `tfsdk:"user"`
	HostKey        types.String `tfsdk:"host_key"`
	PrivateKeyPath types.String `tfsdk:"private_key_path"`
	Clouds         types.List   `tfsdk:"clouds"`
}

func (p *skyProvider) bastionAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "A machine of yours with an SSH server, through which machines without a public address are reached. Every connection to a node goes through it, " +
			"and `ssh_command` too. It must allow TCP forwarding, and be let in: name its address in `allowed_cidrs` where the cloud would open SSH to this computer's alone. A change takes effect at once and touches no machine.",
		Attributes: map[string]schema.Attribute{
			"host": schema.StringAttribute{
				Required: true, MarkdownDescription: "Its name or address, as this computer reaches it.",
				Validators: []validator.String{kit.Checked(checkHost)},
			},
			"port": schema.Int64Attribute{
				Optional: true, MarkdownDescription: "The TCP port of its SSH server. Default 22.",
				Validators: []validator.Int64{kit.Between(1, 65535, "a TCP port")},
			},
			"user": schema.StringAttribute{
				Required: true, MarkdownDescription: "The user to log in as.",
				Validators: []validator.String{kit.Checked(checkLogin)},
			},
			"host_key": schema.StringAttribute{
				Required: true, MarkdownDescription: "Its SSH host key, in the authorized_keys form: a line of its `/etc/ssh/ssh_host_ed25519_key.pub`. Another key ends the connection.",
				Validators: []validator.String{kit.Checked(checkHostKey)},
			},
			"private_key_path": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Private key that logs in there, without a passphrase. Default your own key of the provider block and then the keys of the SSH agent (`SSH_AUTH_SOCK`).",
				Validators: []validator.String{kit.NotBlank(), kit.Checked(session.IfThere(session.CheckPrivateKey))},
			},
			"clouds": schema.ListAttribute{
				Optional: true, ElementType: types.StringType, MarkdownDescription: "The clouds whose machines are behind it. Default all.",
				Validators: []validator.List{kit.Elements(p.checkCloud), kit.NoDuplicates()},
			},
		},
	}
}

func checkHost(host string) error {
	switch {
	case strings.ContainsAny(host, " \t\r\n\x00@/[]") || strings.HasPrefix(host, "-") || host == "":
		return fmt.Errorf("%q is not a host; write a name or an address alone, such as \"bastion.example.com\"", host)
	case strings.Contains(host, ":") && net.ParseIP(host) == nil:
		return fmt.Errorf("%q is not a host; the port has an attribute of its own", host)
	}
	return nil
}

func checkLogin(user string) error {
	if user == "" || strings.ContainsAny(user, " \t\r\n\x00@:/") || strings.HasPrefix(user, "-") {
		return fmt.Errorf("%q is not a user; write the name alone, such as \"ubuntu\"", user)
	}
	return nil
}

// checkHostKey wants exactly one public key.
func checkHostKey(text string) error {
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(text))
	switch {
	case strings.Contains(text, "PRIVATE KEY"): // which no error shows
		return errors.New("this is a private key; write the public one")
	case err != nil:
		return errors.New("this is no public key in the authorized_keys form, \"ssh-ed25519 AAAA...\"; the bastion's own is in its /etc/ssh/ssh_host_ed25519_key.pub")
	case len(options) > 0 || len(strings.TrimSpace(string(rest))) > 0:
		return errors.New("write one public key and nothing else, \"ssh-ed25519 AAAA...\"")
	case strings.Contains(key.Type(), "-cert-"):
		return errors.New("this is a certificate; write the public key of the host itself")
	}
	return nil
}

// bastionSettings reads the object; null and unknown are none.
func bastionSettings(ctx context.Context, in types.Object, getenv func(string) string) (*cluster.Bastion, diag.Diagnostics) {
	if in.IsNull() || in.IsUnknown() {
		return nil, nil
	}
	var m bastionModel
	diags := in.As(ctx, &m, kit.ObjectOptions)
	return &cluster.Bastion{
		Host: m.Host.ValueString(), Port: int(m.Port.ValueInt64()), User: m.User.ValueString(), HostKey: m.HostKey.ValueString(),
		KeyPath: kit.ExpandHome(m.PrivateKeyPath.ValueString()), AgentSocket: getenv("SSH_AUTH_SOCK"),
		Clouds: kit.StringList(m.Clouds),
	}, diags
}

// bastionKeyText is the path of the bastion's key as it is written, which is the
// same on every computer; empty without one.
func bastionKeyText(in types.Object) string {
	if path, ok := in.Attributes()["private_key_path"].(types.String); ok {
		return path.ValueString()
	}
	return ""
}
