// SPDX-License-Identifier: MPL-2.0

package gcpfake

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"google.golang.org/api/compute/v1"
)

// as asks with another token than the user's.
func (c *client) as(token, verb, path string) int {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), verb, c.URL+path, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.Client().Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// TestQuotaOfAllRegions: GPUs are counted wherever they are.
func TestQuotaOfAllRegions(t *testing.T) {
	c := start(t, Options{})
	c.SetQuota("GPUS_ALL_REGIONS", "", 1)
	body := strings.NewReplacer("e2-small", "n1-standard-4", `"name":"m"`,
		`"name":"m","scheduling":{"onHostMaintenance":"TERMINATE"},"guestAccelerators":[{"acceleratorType":"zones/us-central1-a/acceleratorTypes/nvidia-tesla-t4","acceleratorCount":2}]`).Replace(machine)
	var op compute.Operation
	if status := c.ask("POST", instances, body, &op); status != 200 {
		t.Fatalf("insert answers with %d: %v", status, c.violations)
	}
	done := c.wait(&op)
	if done.Error == nil || !strings.Contains(done.Error.Errors[0].Message, "GPUS_ALL_REGIONS") || !strings.Contains(done.Error.Errors[0].Message, "globally") || len(c.Instances()) != 0 {
		t.Errorf("the operation ended with %+v, and there are %d machines", done.Error, len(c.Instances()))
	}
}

// TestStockoutOnStart: the machine stays stopped, with its disk.
func TestStockoutOnStart(t *testing.T) {
	c := start(t, Options{})
	made := c.wait(c.insert(""))
	if err := c.PowerOff(fmt.Sprint(made.TargetId)); err != nil {
		t.Fatal(err)
	}
	c.Inject(Fault{Method: "compute.instances.start", Code: "ZONE_RESOURCE_POOL_EXHAUSTED"})
	var op compute.Operation
	c.ask("POST", fmt.Sprintf("%s/%d/start", instances, made.TargetId), "", &op)
	if done := c.wait(&op); done.Error == nil || c.Instances()[0].Status != "TERMINATED" || len(c.Disks()) != 1 {
		t.Errorf("the operation ended with %+v, the machine is %s", done.Error, c.Instances()[0].Status)
	}
}

// TestSuspended: what sleeps resumes and does not start, and the reverse.
func TestSuspended(t *testing.T) {
	c := start(t, Options{})
	made := c.wait(c.insert(""))
	path := fmt.Sprintf("%s/%d", instances, made.TargetId)
	if status := c.ask("POST", path+"/resume", "", nil); status != 200 {
		t.Errorf("a machine that runs cannot be resumed: %d", status)
	}
	if err := c.Suspend(fmt.Sprint(made.TargetId)); err != nil {
		t.Fatal(err)
	}
	if status := c.ask("POST", path+"/start", "", nil); status != 400 {
		t.Errorf("a machine that sleeps starts: %d", status)
	}
	var op compute.Operation
	if status := c.ask("POST", path+"/resume", "", &op); status != 200 || c.wait(&op).Error != nil || c.Instances()[0].Status != "RUNNING" {
		t.Errorf("a machine that sleeps does not resume: %d, %s", status, c.Instances()[0].Status)
	}
}

// TestPermissions: who lacks one is refused by its name, and nothing happens.
func TestPermissions(t *testing.T) {
	c := start(t, Options{Permissions: []string{"compute.instances.create", "compute.disks.create", "compute.subnetworks.use", "compute.instances.get"}})
	if status := c.ask("POST", instances, machine, nil); status != 403 || len(c.Instances()) > 0 || !slices.Equal(c.Refused(), []string{"compute.subnetworks.useExternalIp"}) {
		t.Errorf("insert answers with %d; refused is %v", status, c.Refused())
	}
	if status := c.ask("GET", instances, "", nil); status != 403 || !slices.Contains(c.Refused(), "compute.instances.list") {
		t.Errorf("list answers with %d; refused is %v", status, c.Refused())
	}
	if used := c.Used(); !slices.Contains(used, "compute.instances.create") || slices.Contains(used, "compute.instances.list") {
		t.Errorf("used are %v", used)
	}
	for id := range handlers() {
		if len(permissions()[id]) == 0 {
			t.Errorf("nothing is needed for %s", id)
		}
	}
}

// TestAMachinesOwnToken may remove machines, and nothing else; the operation
// says whose it was.
func TestAMachinesOwnToken(t *testing.T) {
	c := start(t, Options{})
	made := c.wait(c.insert(""))
	path := fmt.Sprintf("%s/%d", instances, made.TargetId)
	if status := c.as(MachineToken, http.MethodGet, path); status != 403 {
		t.Errorf("get answers with %d", status)
	}
	if status := c.as("nobody's", http.MethodDelete, path); status != 401 {
		t.Errorf("delete of a stranger answers with %d", status)
	}
	if status := c.as(MachineToken, http.MethodDelete, path); status != 200 {
		t.Errorf("delete answers with %d", status)
	}
	var list compute.OperationList
	filter := url.QueryEscape(fmt.Sprintf("(targetId = %d) AND (operationType = delete)", made.TargetId))
	if status := c.ask("GET", base+"/zones/us-central1-a/operations?filter="+filter, "", &list); status != 200 || len(list.Items) != 1 || list.Items[0].User != Deleter {
		t.Errorf("the operations are %+v (%d)", list.Items, status)
	}
}

// TestTokens: each way to a token, and its refusal.
func TestTokens(t *testing.T) {
	c := start(t, Options{})
	ask := func(path string, form url.Values) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := c.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	const refresh, exchange, bearer = "refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange", "urn:ietf:params:oauth:grant-type:jwt-bearer"
	for _, tt := range []struct {
		form url.Values
		want int
	}{
		{url.Values{"grant_type": {refresh}, "refresh_token": {RefreshToken}}, 200},
		{url.Values{"grant_type": {refresh}, "refresh_token": {"old"}}, 400},
		{url.Values{"grant_type": {exchange}, "subject_token": {RefreshToken}}, 200},
		{url.Values{"grant_type": {exchange}, "subject_token": {"theirs"}}, 400},
		{url.Values{"grant_type": {bearer}, "assertion": {"a.b.c"}}, 200},
		{url.Values{"grant_type": {bearer}, "assertion": {"abc"}}, 400},
		{url.Values{}, 400},
	} {
		if got := ask("/token", tt.form); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.form, got, tt.want)
		}
	}
	if status := c.as(Token, http.MethodGet, "/computeMetadata/v1/project/project-id"); status != 404 {
		t.Errorf("the metadata server answers who does not say for what: %d", status)
	}
}
