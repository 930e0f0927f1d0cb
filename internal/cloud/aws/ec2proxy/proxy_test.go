// SPDX-License-Identifier: MPL-2.0

package ec2proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
)

// emulator makes a new machine for every RunInstances, as moto does, and lists them all.
type emulator struct {
	mu sync.Mutex
	n  int
}

func (e *emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // an empty body has no action
	form, _ := url.ParseQuery(string(body))
	e.mu.Lock()
	defer e.mu.Unlock()
	item := func(i int) string {
		return fmt.Sprintf("<instanceId>i-%08x</instanceId>\n<instanceState>\n<code>16</code>\n<name>running</name>\n</instanceState>", i)
	}
	switch form.Get("Action") {
	case "RunInstances":
		e.n++
		_, _ = fmt.Fprintf(w, "<RunInstancesResponse><instancesSet><item>%s</item></instancesSet></RunInstancesResponse>", item(e.n))
	case "DescribeInstances":
		_, _ = io.WriteString(w, "<DescribeInstancesResponse><reservationSet>")
		for i := 1; i <= e.n; i++ {
			_, _ = fmt.Fprintf(w, "<item><instancesSet><item>%s</item></instancesSet></item>", item(i))
		}
		_, _ = io.WriteString(w, "</reservationSet></DescribeInstancesResponse>")
	default:
		_, _ = io.WriteString(w, "<Response/>")
	}
}

func start(t *testing.T, p *ec2proxy.Proxy) func(string) (int, string, error) {
	t.Helper()
	upstream := httptest.NewServer(&emulator{})
	t.Cleanup(upstream.Close)
	p.Upstream, p.Client = upstream.URL, upstream.Client()
	address, stop := p.Start()
	t.Cleanup(stop)
	return func(form string) (int, string, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form))
		if err != nil {
			return 0, "", err
		}
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0")
		client := &http.Client{Timeout: 10 * time.Second}
		resp, err := client.Do(req)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text), err
	}
}

func TestTokensAreHonoured(t *testing.T) {
	call := start(t, &ec2proxy.Proxy{})
	_, first, err := call("Action=RunInstances&ClientToken=a&ImageId=1")
	if err != nil {
		t.Fatal(err)
	}
	if _, again, _ := call("Action=RunInstances&ClientToken=a&ImageId=1"); again != first {
		t.Errorf("the same token gives another machine: %s, %s", first, again)
	}
	if _, other, _ := call("Action=RunInstances&ClientToken=b&ImageId=1"); other == first {
		t.Errorf("another token gives the same machine: %s", other)
	}
	if status, text, _ := call("Action=RunInstances&ClientToken=a&ImageId=2"); status != http.StatusBadRequest || !strings.Contains(text, "IdempotentParameterMismatch") {
		t.Errorf("another payload: %d %s", status, text)
	}
}

func TestFaultsStrikeWhereTheyAreAimed(t *testing.T) {
	p := &ec2proxy.Proxy{}
	call := start(t, p)
	remove := p.Inject(ec2proxy.Fault{Action: "RunInstances", Match: map[string]string{"Placement.AvailabilityZone": "z"}, Skip: 1, Times: 1, Status: 500, Code: "InsufficientInstanceCapacity"})
	for i, want := range []int{200, 500, 200} {
		if status, text, err := call(fmt.Sprintf("Action=RunInstances&ClientToken=%d&Placement.AvailabilityZone=z", i)); status != want || err != nil {
			t.Errorf("call %d: %d %s %v, want %d", i, status, text, err, want)
		}
	}
	if status, _, _ := call("Action=RunInstances&ClientToken=x&Placement.AvailabilityZone=y"); status != http.StatusOK {
		t.Errorf("another zone: %d", status)
	}
	remove()
	p.Inject(ec2proxy.Fault{Action: "RunInstances", Times: 1})
	if _, _, err := call("Action=RunInstances&ClientToken=lost"); err == nil {
		t.Error("the answer was not lost")
	}
	_, all, err := call("Action=DescribeInstances")
	if err != nil || strings.Count(all, "<reservationSet>") != 1 || strings.Count(all, "<instanceId>") != 4 {
		t.Errorf("the lost launch had no effect: %s %v", all, err)
	}
	if got := p.Actions()["ec2:RunInstances"]; got != 5 {
		t.Errorf("%d launches were counted, want 5", got)
	}
}

func TestListingsLag(t *testing.T) {
	p := &ec2proxy.Proxy{HideFor: time.Hour, LingerFor: time.Hour}
	call := start(t, p)
	if _, _, err := call("Action=RunInstances&ClientToken=a"); err != nil {
		t.Fatal(err)
	}
	if _, text, _ := call("Action=DescribeInstances"); strings.Contains(text, "i-") || !strings.Contains(text, "<reservationSet></reservationSet>") {
		t.Errorf("a machine shows at once: %s", text)
	}
	p.HideFor = 0
	if _, _, err := call("Action=TerminateInstances&InstanceId.1=i-00000001"); err != nil {
		t.Fatal(err)
	}
	if _, text, _ := call("Action=DescribeInstances"); !strings.Contains(text, "shutting-down") {
		t.Errorf("a terminated machine is gone at once: %s", text)
	}
}

func TestUnknownKeysAreRefused(t *testing.T) {
	call := start(t, &ec2proxy.Proxy{AccessKeys: []string{"OTHER"}})
	if status, text, _ := call("Action=DescribeInstances"); status != http.StatusUnauthorized || !strings.Contains(text, "AuthFailure") {
		t.Errorf("%d %s", status, text)
	}
}
