// SPDX-License-Identifier: MPL-2.0

//go:build unix

package fluffycloud

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
)

// lay adds a fault and returns its id.
func (c *cloud) lay(f fault) string {
	c.t.Helper()
	var out struct {
		Fault fault `json:"fault"`
	}
	c.must("POST", "/v1/faults", f, &out)
	return out.Fault.ID
}

func errorFault(op, code string, times int) fault {
	return fault{Op: op, Times: times, Effect: effect{Error: &apiError{Code: code}}}
}

func TestErrorsStrikeWhereTheyShould(t *testing.T) {
	c := newCloud(t, nil)
	i := c.launch(nil)
	at := "/v1/instances/" + i.ID
	for op, call := range map[string][2]string{
		"list": {"GET", "/v1/instances"}, "get": {"GET", at}, "terminate": {"DELETE", at}, "stop": {"POST", at + "/stop"},
		"start": {"POST", at + "/start"}, "key": {"GET", "/v1/ssh-keys"}, "firewall": {"GET", "/v1/firewalls"},
		"disk": {"GET", "/v1/disks"}, "account": {"GET", "/v1/account"}, "*": {"GET", "/v1/images"},
	} {
		c.lay(errorFault(op, "unavailable", 1))
		c.refuse(call[0], call[1], nil, 503, "unavailable")
		c.must("DELETE", "/v1/faults", nil, nil)
	}
	c.lay(errorFault("tag", "unauthorized", 1))
	c.refuse("PATCH", at+"/tags", map[string]any{}, 401, "unauthorized")
	c.lay(errorFault("launch", "quota_exceeded", 1))
	c.refuse("POST", "/v1/instances", c.request(), 403, "quota_exceeded")
	if got := c.get(i.ID); got.State != StateRunning {
		t.Errorf("a refused call changed the machine to %s", got.State)
	}
	c.launch(nil)
}

func TestFaultsCountAndMatch(t *testing.T) {
	c := newCloud(t, func(o *Options) { o.BootTime = time.Hour })
	f := errorFault("launch", "insufficient_capacity", 2)
	f.After, f.Match = 1, faultMatch{Zone: "meadow-1b", Market: marketSpot, InstanceType: "puff-2", NamePrefix: "target"}
	c.lay(f)
	second := errorFault("launch", "quota_exceeded", 0)
	second.Match = faultMatch{Zone: "meadow-1b", NamePrefix: "target"}
	target := c.request()
	target.Name, target.Zone, target.Market = "target-1", "meadow-1b", marketSpot
	other := target
	other.Name = "other"
	c.must("POST", "/v1/instances", target, nil) // the one that is spared
	c.must("POST", "/v1/instances", other, nil)
	c.must("POST", "/v1/instances", c.request(), nil)
	c.refuse("POST", "/v1/instances", target, 503, "insufficient_capacity")
	id := c.lay(second)
	c.refuse("POST", "/v1/instances", target, 503, "insufficient_capacity") // the older one is first
	c.refuse("POST", "/v1/instances", target, 403, "quota_exceeded")
	c.restart()
	c.refuse("POST", "/v1/instances", target, 403, "quota_exceeded")
	var out struct {
		Faults []fault `json:"faults"`
	}
	c.must("GET", "/v1/faults", nil, &out)
	if len(out.Faults) != 2 || out.Faults[0].Fired != 2 || out.Faults[0].Seen != 3 || out.Faults[1].Fired != 2 {
		t.Errorf("%+v", out.Faults)
	}
	c.must("DELETE", "/v1/faults/"+id, nil, nil)
	c.refuse("DELETE", "/v1/faults/"+id, nil, 404, "not_found")
	c.must("POST", "/v1/instances", target, nil)
}

func TestBadFaultsAreRefused(t *testing.T) {
	c := newCloud(t, nil)
	for _, f := range []any{
		map[string]any{"op": "dance", "effect": map[string]any{"drop": true}},
		map[string]any{"op": "launch", "effect": map[string]any{}},
		map[string]any{"op": "launch", "effect": map[string]any{"boot": "sideways"}},
		map[string]any{"op": "launch", "effect": map[string]any{"error": map[string]any{"status": 503}}},
		map[string]any{"op": "launch", "effect": map[string]any{"error": map[string]any{"code": "x", "status": 200}}},
		map[string]any{"op": "launch", "times": -1, "effect": map[string]any{"drop": true}},
		map[string]any{"op": "launch", "efect": map[string]any{"drop": true}},
	} {
		c.refuse("POST", "/v1/faults", f, 400, "invalid_parameter")
	}
}

func TestRateLimits(t *testing.T) {
	c := newCloud(t, nil)
	c.lay(fault{Op: "list", Effect: effect{Error: &apiError{Code: "rate_limited", RetryAfter: 17}}})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.srv.URL()+"/v1/instances", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.srv.APIKey())
	resp, err := c.srv.Client(0).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "17" {
		t.Errorf("%s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
}

func TestLostAnswersAndLostCalls(t *testing.T) {
	c := newCloud(t, nil)
	req := c.request()
	req.ClientToken = "once"
	c.lay(fault{Op: "launch", Times: 1, Effect: effect{Drop: true}})
	if status, _ := c.call("POST", "/v1/instances", req, nil); status != 0 || len(c.list("")) != 0 {
		t.Errorf("dropped: %d, %v", status, c.list(""))
	}
	c.lay(fault{Op: "launch", Times: 1, Effect: effect{TimeoutAfterApply: true}})
	if status, _ := c.call("POST", "/v1/instances", req, nil); status != 0 || len(c.list("")) != 1 {
		t.Errorf("applied: %d, %v", status, c.list(""))
	}
	var out instanceAnswer
	if status, _ := c.call("POST", "/v1/instances", req, &out); status != 200 {
		t.Errorf("repeated: %d", status)
	}
	i := c.await(out.Instance.ID, StateRunning)
	c.lay(fault{Op: "terminate", Times: 1, Effect: effect{TimeoutAfterApply: true}})
	if status, _ := c.call("DELETE", "/v1/instances/"+i.ID, nil, nil); status != 0 {
		t.Errorf("%d", status)
	}
	c.await(i.ID, StateTerminated)
}

func TestSilence(t *testing.T) {
	c := newCloud(t, nil)
	i := c.launch(nil)
	for op, call := range map[string][2]string{"terminate": {"DELETE", ""}, "stop": {"POST", "/stop"}} {
		c.lay(fault{Op: op, Times: 1, Effect: effect{Silent: true}})
		if status, _ := c.call(call[0], "/v1/instances/"+i.ID+call[1], nil, nil); status != 202 {
			t.Errorf("%s: %d", op, status)
		}
		if got := c.get(i.ID); got.State != StateRunning {
			t.Errorf("%s: %s", op, got.State)
		}
	}
	c.lay(fault{Op: "launch", Times: 1, Effect: effect{Silent: true}})
	var out instanceAnswer
	c.must("POST", "/v1/instances", c.request(), &out)
	c.refuse("GET", "/v1/instances/"+out.Instance.ID, nil, 404, "not_found")
}

func TestLateAndHiddenMachines(t *testing.T) {
	clock := NewManualClock(time.Now())
	c := newCloud(t, func(o *Options) { o.Clock = clock })
	c.lay(fault{Op: "launch", Times: 1, Effect: effect{HideForMS: 60_000}})
	var out instanceAnswer
	c.must("POST", "/v1/instances", c.request(), &out)
	c.refuse("GET", "/v1/instances/"+out.Instance.ID, nil, 404, "not_found")
	c.refuse("DELETE", "/v1/instances/"+out.Instance.ID, nil, 404, "not_found")
	c.lay(fault{Op: "launch", Times: 1, Effect: effect{LateArrivalMS: 60_000}})
	c.refuse("POST", "/v1/instances", c.request(), 503, "unavailable")
	if len(c.list("")) != 0 {
		t.Errorf("listed: %v", c.list(""))
	}
	clock.Advance(61 * time.Second)
	found := c.list("")
	if len(found) != 2 {
		t.Fatalf("listed: %v", found)
	}
	for _, i := range found {
		c.await(i.ID, StateRunning)
	}
	c.lay(fault{Op: "list", Times: 1, Effect: effect{Empty: true}})
	if len(c.list("")) != 0 || len(c.list("")) != 2 {
		t.Error("the empty list is wrong")
	}
}

func TestOtherOddities(t *testing.T) {
	c := newCloud(t, nil)
	req := c.request()
	req.ClientToken, req.Tags = "twice", map[string]string{"a": "b"}
	c.must("POST", "/v1/instances", req, nil)
	c.lay(fault{Op: "launch", Times: 1, Effect: effect{Duplicate: true, DropTags: true}})
	var out instanceAnswer
	c.must("POST", "/v1/instances", req, &out)
	if len(c.list("")) != 2 || len(out.Instance.Tags) != 0 {
		t.Errorf("%v", c.list(""))
	}
	page := "<html>sign in</html>"
	c.lay(fault{Op: "list", Times: 1, Effect: effect{Body: &page}})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.srv.URL()+"/v1/instances", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.srv.APIKey())
	resp, err := c.srv.Client(0).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != 200 || string(body) != page {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	c.lay(fault{Op: "launch", Times: 1, Effect: effect{PreemptAfterMS: 200}})
	c.must("POST", "/v1/instances", c.request(), &out)
	if got := c.await(out.Instance.ID, StateTerminated); got.StateReason != reasonPreempted {
		t.Errorf("%q", got.StateReason)
	}
	// A call that is held up does not hold up the server's end.
	c.lay(fault{Op: "list", Effect: effect{DelayMS: 3_600_000}})
	held := make(chan error, 1)
	go func() {
		resp, err := c.srv.Client(0).Do(r.Clone(r.Context()))
		if err == nil {
			_ = resp.Body.Close()
		}
		held <- err
	}()
	c.until("the call is held up", func() bool {
		var f struct {
			Faults []fault `json:"faults"`
		}
		c.must("GET", "/v1/faults", nil, &f)
		return f.Faults[len(f.Faults)-1].Fired == 1
	})
	c.must("DELETE", "/v1/faults", nil, nil)
	c.restart()
	if err := <-held; err == nil {
		t.Error("the call was answered")
	}
}

// boot launches a machine that boots badly.
func (c *cloud) boot(kind string, more effect) Instance {
	c.t.Helper()
	more.Boot = kind
	c.lay(fault{Op: "boot", Times: 1, Effect: more})
	var out instanceAnswer
	c.must("POST", "/v1/instances", c.request(), &out)
	return out.Instance
}

func TestBadBoots(t *testing.T) {
	c := newCloud(t, nil)
	if i := c.await(c.boot("fail", effect{}).ID, StateTerminated); !strings.HasPrefix(i.StateReason, reasonBoot) {
		t.Errorf("fail: %q", i.StateReason)
	}
	slow := c.boot("slow", effect{BootDelayMS: 3_600_000})
	if got := c.get(slow.ID); got.State != StatePending {
		t.Errorf("slow: %s", got.State)
	}
	c.terminate(slow.ID)

	none := c.await(c.boot("no_ssh", effect{}).ID, StateRunning)
	if conn, err := net.Dial("tcp", net.JoinHostPort(none.PublicIP, strconv.Itoa(none.SSHPort))); err == nil {
		_ = conn.Close()
		t.Error("no_ssh: something listens")
	}
	wrong := c.await(c.boot("wrong_host_key", effect{}).ID, StateRunning)
	if _, err := c.dialAs(wrong, guest.User, c.login); err == nil || !strings.Contains(err.Error(), "host key mismatch") {
		t.Errorf("wrong_host_key: %v", err)
	}
	for _, kind := range []string{"silent", "babble"} {
		i := c.await(c.boot(kind, effect{}).ID, StateRunning)
		conn, err := net.Dial("tcp", net.JoinHostPort(i.PublicIP, strconv.Itoa(i.SSHPort)))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		got, _ := io.ReadAll(conn)
		if (kind == "silent") != (len(got) == 0) || strings.Contains(string(got), "SSH-2.0") {
			t.Errorf("%s: %q", kind, got)
		}
		_ = conn.Close()
	}
	refused := c.dial(c.await(c.boot("exec_refused", effect{}).ID, StateRunning))
	if session, err := refused.NewSession(); err != nil || session.Run("true") == nil {
		t.Errorf("exec_refused: %v", err)
	}
	noStatus := c.dial(c.await(c.boot("no_exit_status", effect{}).ID, StateRunning))
	session, err := noStatus.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := session.Run("true").(*ssh.ExitMissingError); !ok { //nolint:errorlint // the session returns it bare
		t.Error("no_exit_status: there is one")
	}
}

// TestARepeatedLaunchUsesNoBootFaultUp: it boots nothing.
func TestARepeatedLaunchUsesNoBootFaultUp(t *testing.T) {
	c := newCloud(t, nil)
	req := c.request()
	req.ClientToken = "once"
	c.must("POST", "/v1/instances", req, nil)
	c.lay(fault{Op: "boot", Times: 1, Effect: effect{Boot: "fail"}})
	c.must("POST", "/v1/instances", req, nil)
	var out instanceAnswer
	c.must("POST", "/v1/instances", c.request(), &out)
	c.await(out.Instance.ID, StateTerminated)
}

func TestMachinesThatDieInSetup(t *testing.T) {
	c := newCloud(t, nil)
	i := c.await(c.boot("die_in_setup", effect{AtExec: 2}).ID, StateRunning)
	client := c.dial(i)
	if r := c.run(client, "echo one"); r.out != "one\n" {
		t.Errorf("%+v", r)
	}
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Run("sleep 1000"); err == nil {
		t.Error("the second command ended well")
	}
	if got := c.await(i.ID, StateTerminated); got.StateReason != reasonHost {
		t.Errorf("%q", got.StateReason)
	}
}
