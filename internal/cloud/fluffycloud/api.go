// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// instance is a machine as the API shows it.
type instance struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Region       string            `json:"region"`
	Zone         string            `json:"zone"`
	InstanceType string            `json:"instance_type"`
	Image        string            `json:"image"`
	Market       string            `json:"market"`
	State        string            `json:"state"`
	StateReason  string            `json:"state_reason"`
	CreatedAt    time.Time         `json:"created_at"`
	ExpiresAt    *time.Time        `json:"expires_at"`
	PrivateIP    string            `json:"private_ip"`
	PublicIP     string            `json:"public_ip"`
	SSHPort      int               `json:"ssh_port"`
	Tags         map[string]string `json:"tags"`
	FirewallID   string            `json:"firewall_id"`
	HourlyUSD    float64           `json:"hourly_usd"`
}

// state translates the API's word; one it does not know is neither alive nor gone.
func (i instance) state() cloud.State {
	switch s := cloud.State(i.State); s {
	case cloud.StatePending, cloud.StateRunning, cloud.StateStopping, cloud.StateStopped,
		cloud.StateTerminating, cloud.StateTerminated:
		return s
	default:
		return cloud.StateUnknown
	}
}

// launchRequest makes one machine. Equal identities must yield equal requests.
type launchRequest struct {
	Name         string            `json:"name"`
	ClientToken  string            `json:"client_token"`
	Region       string            `json:"region"`
	Zone         string            `json:"zone,omitempty"`
	InstanceType string            `json:"instance_type"`
	Image        string            `json:"image"`
	Market       string            `json:"market"`
	MaxPriceUSD  float64           `json:"max_price_usd,omitempty"`
	DiskGiB      int               `json:"disk_gib,omitempty"`
	UserData     []byte            `json:"user_data,omitempty"`
	SSHKeyIDs    []string          `json:"ssh_key_ids"`
	FirewallID   string            `json:"firewall_id,omitempty"`
	Tags         map[string]string `json:"tags"`
	ExpiresAt    *time.Time        `json:"expires_at"`
}

type image struct {
	ID      string   `json:"id"`
	Tags    []string `json:"tags"`
	SSHUser string   `json:"ssh_user"`
}

type sshKey struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	PublicKey string            `json:"public_key"`
	Tags      map[string]string `json:"tags"`
	CreatedAt time.Time         `json:"created_at"`
}

type rule struct {
	FromPort uint16   `json:"from_port"`
	ToPort   uint16   `json:"to_port"`
	CIDRs    []string `json:"cidrs"`
}

type firewall struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Region    string            `json:"region"`
	Tags      map[string]string `json:"tags"`
	Rules     []rule            `json:"rules"`
	CreatedAt time.Time         `json:"created_at"`
}

func (c *client) accountID(ctx context.Context) (string, error) {
	var out struct {
		ID string `json:"id"`
	}
	if err := c.call(ctx, http.MethodGet, "/v1/account", nil, nil, &out); err != nil {
		return "", err
	}
	if out.ID == "" {
		return "", &protocolError{"GET /v1/account", "no id"}
	}
	return out.ID, nil
}

func (c *client) images(ctx context.Context) ([]image, error) {
	return list[image](ctx, c, "/v1/images", "images", nil)
}

func (c *client) instances(ctx context.Context, query url.Values) ([]instance, error) {
	return list[instance](ctx, c, "/v1/instances", "instances", query)
}

func (c *client) instance(ctx context.Context, id string) (instance, error) {
	return c.instanceCall(ctx, http.MethodGet, instancePath(id), nil)
}

func (c *client) launch(ctx context.Context, req launchRequest) (instance, error) {
	return c.instanceCall(ctx, http.MethodPost, "/v1/instances", req)
}

func (c *client) terminate(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, instancePath(id), nil, nil, nil)
}

func (c *client) stop(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodPost, instancePath(id)+"/stop", nil, nil, nil)
}

func (c *client) start(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodPost, instancePath(id)+"/start", nil, nil, nil)
}

func (c *client) tag(ctx context.Context, id string, set map[string]string, remove []string) error {
	in := map[string]any{"set": set, "remove": remove}
	return c.call(ctx, http.MethodPatch, instancePath(id)+"/tags", nil, in, nil)
}

func (c *client) clearExpiry(ctx context.Context, id string) error {
	in := map[string]any{"expires_at": nil}
	return c.call(ctx, http.MethodPut, instancePath(id)+"/expiry", nil, in, nil)
}

func (c *client) instanceCall(ctx context.Context, method, path string, in any) (instance, error) {
	var out struct {
		Instance instance `json:"instance"`
	}
	if err := c.call(ctx, method, path, nil, in, &out); err != nil {
		return instance{}, err
	}
	if out.Instance.ID == "" {
		return instance{}, &protocolError{method + " " + path, "no instance"}
	}
	return out.Instance, nil
}

func (c *client) sshKeys(ctx context.Context) ([]sshKey, error) {
	return list[sshKey](ctx, c, "/v1/ssh-keys", "ssh_keys", nil)
}

func (c *client) createSSHKey(ctx context.Context, k sshKey) error {
	in := map[string]any{"name": k.Name, "public_key": k.PublicKey, "tags": k.Tags}
	return c.call(ctx, http.MethodPost, "/v1/ssh-keys", nil, in, nil)
}

func (c *client) deleteSSHKey(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/v1/ssh-keys/"+url.PathEscape(id), nil, nil, nil)
}

func (c *client) firewalls(ctx context.Context) ([]firewall, error) {
	return list[firewall](ctx, c, "/v1/firewalls", "firewalls", nil)
}

func (c *client) createFirewall(ctx context.Context, f firewall) error {
	in := map[string]any{"name": f.Name, "region": f.Region, "tags": f.Tags, "rules": f.Rules}
	return c.call(ctx, http.MethodPost, "/v1/firewalls", nil, in, nil)
}

func (c *client) setRules(ctx context.Context, id string, rules []rule) (firewall, error) {
	in := map[string]any{"rules": rules}
	var out struct {
		Firewall firewall `json:"firewall"`
	}
	err := c.call(ctx, http.MethodPut, "/v1/firewalls/"+url.PathEscape(id)+"/rules", nil, in, &out)
	return out.Firewall, err
}

func (c *client) deleteFirewall(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/v1/firewalls/"+url.PathEscape(id), nil, nil, nil)
}

func instancePath(id string) string { return "/v1/instances/" + url.PathEscape(id) }
