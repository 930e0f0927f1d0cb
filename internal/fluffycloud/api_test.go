// SPDX-License-Identifier: MPL-2.0

//go:build unix

package fluffycloud

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
)

func TestOnlyTheKeyOpensTheAPI(t *testing.T) {
	c := newCloud(t, nil)
	for _, header := range []string{"", "Bearer ", "Bearer wrong", c.srv.APIKey(), "Basic " + c.srv.APIKey()} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.srv.URL()+"/v1/account", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", header)
		resp, err := c.srv.Client(0).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d for %q", resp.StatusCode, header)
		}
	}
	for _, file := range []string{"api_key", "server.json", "fluffycloud.db", "server.lock"} {
		info, err := os.Stat(filepath.Join(c.dir, file))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", file, info.Mode(), err)
		}
	}
	c.refuse("GET", "/v1/nothing", nil, 404, "not_found")
}

// TestAKeyOthersCouldRead: what an earlier run left opens nothing.
func TestAKeyOthersCouldRead(t *testing.T) {
	c := newCloud(t, func(o *Options) {
		if err := errors.Join(os.MkdirAll(o.Dir, 0o700), os.WriteFile(filepath.Join(o.Dir, "api_key"), []byte("k\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	})
	info, err := os.Stat(filepath.Join(c.dir, "api_key"))
	if err != nil || info.Mode().Perm() != 0o600 || c.srv.APIKey() == "k" {
		t.Errorf("%v, %v: the key of an earlier run is in use", info.Mode(), err)
	}
}

func TestAFolderOthersCanChangeIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("got %v", err)
	}
	if err := guest.WriteJSON(filepath.Join(dir, "server.json"), guest.Server{URL: "https://127.0.0.1:1", Fingerprint: strings.Repeat("0", 64)}); err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("connect: %v", err)
	}
}

func TestListensOnLoopbackOnly(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "localhost:0", ":0", "192.0.2.1:0", "nonsense"} {
		if _, err := Start(t.Context(), Options{Dir: t.TempDir(), Listen: listen}); err == nil {
			t.Errorf("listens on %s", listen)
		}
	}
}

func TestLaunchNamesTheFieldThatIsWrong(t *testing.T) {
	c := newCloud(t, nil)
	past := time.Now().Add(-time.Hour)
	for field, change := range map[string]func(*launchRequest){
		"name":          func(r *launchRequest) { r.Name = "a/b" },
		"region":        func(r *launchRequest) { r.Region = "mars-1" },
		"zone":          func(r *launchRequest) { r.Zone = "hilltop-1a" },
		"instance_type": func(r *launchRequest) { r.InstanceType = "puff-3" },
		"image":         func(r *launchRequest) { r.Image = "img-none" },
		"market":        func(r *launchRequest) { r.Market = "flea" },
		"max_price_usd": func(r *launchRequest) { r.MaxPriceUSD = -1 },
		"disk_gib":      func(r *launchRequest) { r.DiskGiB = -5 },
		"user_data":     func(r *launchRequest) { r.UserData = "%%%" },
		"ssh_key_ids":   func(r *launchRequest) { r.SSHKeyIDs = []string{"key-none"} },
		"firewall_id":   func(r *launchRequest) { r.FirewallID = "fw-none" },
		"tags":          func(r *launchRequest) { r.Tags = map[string]string{"a=b": ""} },
		"expires_at":    func(r *launchRequest) { r.ExpiresAt = &past },
		"client_token":  func(r *launchRequest) { r.ClientToken = strings.Repeat("x", maxClientToken+1) },
	} {
		req := c.request()
		change(&req)
		if e := c.refuse("POST", "/v1/instances", req, 400, "invalid_parameter"); !strings.HasPrefix(e.Message, field) {
			t.Errorf("%s: %s", field, e.Message)
		}
	}
	big := c.request()
	big.UserData = base64.StdEncoding.EncodeToString(make([]byte, maxUserData+1))
	c.refuse("POST", "/v1/instances", big, 400, "invalid_parameter")
	c.refuse("POST", "/v1/instances", map[string]any{"names": "x"}, 400, "invalid_parameter")
	c.refuse("POST", "/v1/instances", map[string]any{"name": strings.Repeat("x", maxBody+1)}, 400, "invalid_parameter")
	notSold := c.request()
	notSold.InstanceType = "thunder-h100-8"
	c.refuse("POST", "/v1/instances", notSold, 400, "invalid_parameter")
	if list := c.list(""); len(list) != 0 {
		t.Errorf("machines exist: %v", list)
	}
}

// list returns what the API lists.
func (c *cloud) list(query string) []Instance {
	c.t.Helper()
	var out struct {
		Instances []Instance `json:"instances"`
	}
	c.must("GET", "/v1/instances"+query, nil, &out)
	return out.Instances
}

func TestATokenMakesOneMachine(t *testing.T) {
	c := newCloud(t, nil)
	req := c.request()
	req.ClientToken, req.Tags = "token-1", map[string]string{"a": "1", "b": "2"}
	ids := make([]string, 8)
	statuses := make([]int, len(ids))
	var all sync.WaitGroup
	for n := range ids {
		all.Go(func() {
			var out instanceAnswer
			statuses[n], _ = c.call("POST", "/v1/instances", req, &out)
			ids[n] = out.Instance.ID
		})
	}
	all.Wait()
	slices.Sort(statuses)
	if statuses[0] != 200 || statuses[6] != 200 || statuses[7] != 201 || len(slices.Compact(ids)) != 1 {
		t.Fatalf("statuses %v, ids %v", statuses, ids)
	}
	other := req
	other.DiskGiB = 99
	c.refuse("POST", "/v1/instances", other, 409, "idempotency_mismatch")
	c.terminate(ids[0])
	var out instanceAnswer
	if status, _ := c.call("POST", "/v1/instances", req, &out); status != 200 || out.Instance.ID != ids[0] || out.Instance.State != StateTerminated {
		t.Errorf("after its end the token gives %d %+v", status, out.Instance)
	}
}

func TestCapacityQuotaAndPrice(t *testing.T) {
	c := newCloud(t, nil)
	one := map[string]any{"region": "meadow-1", "zone": "meadow-1a", "instance_type": "puff-2", "available": 1}
	c.must("PUT", "/v1/capacity", one, nil)
	i := c.launch(nil)
	c.refuse("POST", "/v1/instances", c.request(), 503, "insufficient_capacity")
	c.must("POST", "/v1/instances/"+i.ID+"/stop", nil, nil)
	c.await(i.ID, StateStopped)
	j := c.launch(nil)
	c.refuse("POST", "/v1/instances/"+i.ID+"/start", nil, 503, "insufficient_capacity")
	c.terminate(j.ID)
	c.must("POST", "/v1/instances/"+i.ID+"/start", nil, nil)
	c.await(i.ID, StateRunning)
	one["available"] = nil
	c.must("PUT", "/v1/capacity", one, nil)
	c.launch(nil)

	c.must("PUT", "/v1/quotas", map[string]any{"region": "meadow-1", "instances": 2}, nil)
	c.refuse("POST", "/v1/instances", c.request(), 403, "quota_exceeded")
	elsewhere := c.request()
	elsewhere.Region, elsewhere.Zone = "lagoon-1", "lagoon-1b"
	c.must("POST", "/v1/instances", elsewhere, nil)

	cheap := elsewhere
	cheap.Name, cheap.Market, cheap.MaxPriceUSD = "cheap", marketSpot, 0.001
	c.refuse("POST", "/v1/instances", cheap, 400, "price_too_low")
	cheap.MaxPriceUSD = 0.05
	var out instanceAnswer
	c.must("POST", "/v1/instances", cheap, &out)
	c.await(out.Instance.ID, StateRunning)
	c.must("PUT", "/v1/spot-prices", map[string]any{"region": "lagoon-1", "zone": "lagoon-1b", "instance_type": "puff-2", "spot_usd": 0.06}, nil)
	if got := c.await(out.Instance.ID, StateTerminated); got.StateReason != reasonPreempted {
		t.Errorf("an outbid machine ended as %q", got.StateReason)
	}
	c.refuse("POST", "/v1/instances", cheap, 400, "price_too_low")
}

func TestListsArePagedAndFiltered(t *testing.T) {
	c := newCloud(t, func(o *Options) { o.BootTime = time.Hour })
	var want []string
	for n := range 7 {
		req := c.request()
		req.Tags = map[string]string{"parity": fmt.Sprint(n % 2), "n": fmt.Sprint(n)}
		var out instanceAnswer
		c.must("POST", "/v1/instances", req, &out)
		want = append(want, out.Instance.ID)
	}
	var got []string
	token := ""
	for {
		var out struct {
			Instances []Instance `json:"instances"`
			Next      string     `json:"next_page_token"`
		}
		c.must("GET", "/v1/instances?page_size=3&page_token="+token, nil, &out)
		for _, i := range out.Instances {
			got = append(got, i.ID)
		}
		if token = out.Next; token == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages give %v, want %v", got, want)
	}
	for query, n := range map[string]int{
		"?tag=parity=1": 3, "?tag=parity=0&tag=n=4": 1, "?tag=parity=0&tag=n=3": 0, "?region=hilltop-1": 0,
		"?zone=meadow-1a&state=pending": 7, "?state=running": 0,
	} {
		if got := c.list(query); len(got) != n {
			t.Errorf("%s lists %d, want %d", query, len(got), n)
		}
	}
	for _, query := range []string{"?page_size=0", "?page_size=x", "?page_token=*", "?tag=x"} {
		c.refuse("GET", "/v1/instances"+query, nil, 400, "invalid_parameter")
	}
	c.must("PATCH", "/v1/instances/"+want[0]+"/tags", map[string]any{"set": map[string]string{"new": "x"}, "remove": []string{"n"}}, nil)
	if i := c.get(want[0]); i.Tags["new"] != "x" || i.Tags["parity"] != "0" || len(i.Tags) != 2 {
		t.Errorf("tags are %v", i.Tags)
	}
}

func TestKeysAndFirewalls(t *testing.T) {
	c := newCloud(t, nil)
	var keys struct {
		SSHKeys []SSHKey `json:"ssh_keys"`
	}
	c.must("GET", "/v1/ssh-keys?name=login", nil, &keys)
	if len(keys.SSHKeys) != 1 {
		t.Fatalf("keys: %v", keys)
	}
	same := map[string]any{"name": "login", "public_key": keys.SSHKeys[0].PublicKey}
	c.refuse("POST", "/v1/ssh-keys", same, 409, "conflict")
	c.refuse("POST", "/v1/ssh-keys", map[string]any{"name": "x", "public_key": "not a key"}, 400, "invalid_parameter")

	fw := map[string]any{"name": "fw", "region": "meadow-1", "rules": []any{map[string]any{"from_port": 22, "to_port": 22, "cidrs": []string{"127.0.0.1/32"}}}}
	var made struct {
		Firewall Firewall `json:"firewall"`
	}
	c.must("POST", "/v1/firewalls", fw, &made)
	c.refuse("POST", "/v1/firewalls", fw, 409, "conflict")
	path := "/v1/firewalls/" + made.Firewall.ID
	for _, rule := range []any{
		map[string]any{"from_port": 0, "to_port": 22, "cidrs": []string{"127.0.0.1/32"}},
		map[string]any{"from_port": 30, "to_port": 22, "cidrs": []string{"127.0.0.1/32"}},
		map[string]any{"from_port": 22, "to_port": 70000, "cidrs": []string{"127.0.0.1/32"}},
		map[string]any{"from_port": 22, "to_port": 22, "cidrs": []string{}},
		map[string]any{"from_port": 22, "to_port": 22, "cidrs": []string{"everywhere"}},
	} {
		c.refuse("PUT", path+"/rules", map[string]any{"rules": []any{rule}}, 400, "invalid_parameter")
	}
	c.must("PUT", path+"/rules", map[string]any{"rules": []any{}}, &made)
	if made.Firewall.Rules == nil || len(made.Firewall.Rules) != 0 {
		t.Errorf("rules: %v", made.Firewall.Rules)
	}
	i := c.launch(func(r *launchRequest) { r.FirewallID = made.Firewall.ID })
	c.refuse("DELETE", path, nil, 409, "in_use")
	c.terminate(i.ID)
	c.must("DELETE", path, nil, nil)
	c.refuse("DELETE", path, nil, 404, "not_found")
	c.must("DELETE", "/v1/ssh-keys/"+c.keyID, nil, nil)
	c.refuse("GET", "/v1/ssh-keys/"+c.keyID, nil, 404, "not_found")
}
