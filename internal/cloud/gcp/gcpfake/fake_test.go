// SPDX-License-Identifier: MPL-2.0

package gcpfake

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/compute/v1"
)

// client speaks to a fake and notes what the document did not allow.
type client struct {
	t *testing.T
	*Cloud
	violations []error
}

func start(t *testing.T, opts Options) *client {
	t.Helper()
	c := &client{t: t}
	opts.OnViolation = func(err error) { c.violations = append(c.violations, err) }
	c.Cloud = Start(t, opts)
	return c
}

const base = "/compute/v1/projects/" + Project

// ask returns the status and the answer, which into may hold.
func (c *client) ask(verb, path, body string, into any) int {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), verb, c.URL+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+Token)
	resp, err := c.Client().Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			c.t.Fatalf("%s: %v", text, err)
		}
	}
	return resp.StatusCode
}

const machine = `{"name":"m","machineType":"zones/us-central1-a/machineTypes/e2-small",
 "disks":[{"boot":true,"autoDelete":true,"initializeParams":{"diskSizeGb":"10","sourceImage":"projects/p/global/images/i","diskType":"zones/us-central1-a/diskTypes/pd-balanced"}}],
 "networkInterfaces":[{"network":"projects/p/global/networks/default","accessConfigs":[{"type":"ONE_TO_ONE_NAT"}]}]}`

const instances = base + "/zones/us-central1-a/instances"

// insert asks for the machine and returns its operation.
func (c *client) insert(query string) *compute.Operation {
	c.t.Helper()
	var op compute.Operation
	if status := c.ask("POST", instances+query, machine, &op); status != 200 {
		c.t.Fatalf("insert answers with %d", status)
	}
	return &op
}

func (c *client) wait(op *compute.Operation) *compute.Operation {
	c.t.Helper()
	var done compute.Operation
	if status := c.ask("POST", base+"/zones/us-central1-a/operations/"+op.Name+"/wait", "", &done); status != 200 || done.Status != "DONE" {
		c.t.Fatalf("wait answers with %d, %s", status, done.Status)
	}
	return &done
}

// TestRequestsAreChecked: the document's say on paths, parameters and bodies.
func TestRequestsAreChecked(t *testing.T) {
	edit := func(from, to string) string { return strings.Replace(machine, from, to, 1) }
	for name, tt := range map[string]struct{ verb, path, body, want string }{
		"unknown method":      {"PUT", base + "/zones/us-central1-a/nothing", "", "no method"},
		"unknown parameter":   {"GET", instances + "?page_token=1", "", `unknown parameter "page_token"`},
		"parameter's type":    {"GET", instances + "?maxResults=many", "", "maxResults"},
		"path's form":         {"GET", base + "/zones/us_central1/instances", "", "does not match"},
		"enum of a parameter": {"GET", instances + "?alt=xml", "", "none of"},
		"unknown field":       {"POST", instances, edit(`"name":"m"`, `"name":"m","colour":"red"`), `no field "colour"`},
		"field further down":  {"POST", instances, edit(`"boot":true`, `"boot":true,"bot":1`), `disks[0] has no field "bot"`},
		"missing field":       {"POST", instances, edit(`"name":"m",`, ""), "name is missing"},
		"number for a text":   {"POST", instances, edit(`"diskSizeGb":"10"`, `"diskSizeGb":10`), "where a string belongs"},
		"text for a number":   {"POST", instances, edit(`"name":"m"`, `"name":"m","guestAccelerators":[{"acceleratorCount":"1"}]`), "where a whole number belongs"},
		"text for a truth":    {"POST", instances, edit(`"boot":true`, `"boot":"true"`), "where true or false belongs"},
		"no whole number":     {"POST", instances, edit(`"diskSizeGb":"10"`, `"diskSizeGb":"ten"`), "no int64"},
		"enum":                {"POST", instances, edit(`"name":"m"`, `"name":"m","scheduling":{"provisioningModel":"CHEAP"}`), "none of"},
		"name's form":         {"POST", instances, edit(`"name":"m"`, `"name":"M_"`), "does not match"},
		"list for an object":  {"POST", instances, edit(`"name":"m"`, `"name":"m","tags":["a"]`), "where an object belongs"},
		"object for a list":   {"POST", instances, edit(`"name":"m"`, `"name":"m","tags":{"items":{}}`), "where a list belongs"},
		"no JSON":             {"POST", instances, "{", "no JSON"},
		"body too many":       {"DELETE", instances + "/m", "{}", "takes no body"},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, Options{})
			if status := c.ask(tt.verb, tt.path, tt.body, nil); status != 400 {
				t.Errorf("the answer is %d, want 400", status)
			}
			if len(c.violations) != 1 || !strings.Contains(c.violations[0].Error(), tt.want) {
				t.Errorf("noted are %v, want %q", c.violations, tt.want)
			}
		})
	}
}

func TestSensibleRequestsPass(t *testing.T) {
	c := start(t, Options{})
	done := c.wait(c.insert("?requestId=0a0b0c0d-0000-4000-8000-00000000000a"))
	var in compute.Instance
	if status := c.ask("GET", fmt.Sprintf("%s/%d", instances, done.TargetId), "", &in); status != 200 || in.Status != "RUNNING" || in.NetworkInterfaces[0].AccessConfigs[0].NatIP == "" {
		t.Errorf("the machine is %d, %+v", status, in)
	}
	if len(c.violations) > 0 {
		t.Error(c.violations)
	}
}

func TestUnauthorized(t *testing.T) {
	c := start(t, Options{})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL+base, http.NoBody)
	resp, err := c.Client().Do(req)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Fatalf("without a token: %v, %v", resp, err)
	}
	_ = resp.Body.Close()
}

// TestOperationsTakeTime: the machine is there before it runs.
func TestOperationsTakeTime(t *testing.T) {
	c := start(t, Options{OperationTime: time.Hour})
	op := c.insert("")
	if op.Status != "RUNNING" || c.Instances()[0].Status != "PROVISIONING" || len(c.Disks()) != 1 {
		t.Errorf("at once: operation %s, machine %s", op.Status, c.Instances()[0].Status)
	}
	c.Advance(2 * time.Hour)
	if done := c.wait(op); done.Error != nil || c.Instances()[0].Status != "RUNNING" {
		t.Errorf("later: %+v, machine %s", done.Error, c.Instances()[0].Status)
	}
}

// TestStockout: the answer says that all is well, the operation does not.
func TestStockout(t *testing.T) {
	c := start(t, Options{})
	c.Inject(Fault{Method: "compute.instances.insert", Code: "ZONE_RESOURCE_POOL_EXHAUSTED", Times: 1})
	done := c.wait(c.insert(""))
	if done.Error == nil || done.Error.Errors[0].Code != "ZONE_RESOURCE_POOL_EXHAUSTED" || len(c.Instances())+len(c.Disks()) > 0 {
		t.Errorf("the operation ended with %+v, and there are %d machines", done.Error, len(c.Instances()))
	}
	if done := c.wait(c.insert("")); done.Error != nil {
		t.Errorf("the next one: %+v", done.Error)
	}
}

func TestQuota(t *testing.T) {
	c := start(t, Options{})
	c.SetQuota("CPUS", "us-central1", 1)
	done := c.wait(c.insert(""))
	if done.Error == nil || done.Error.Errors[0].Code != "QUOTA_EXCEEDED" || !strings.Contains(done.Error.Errors[0].Message, "in region us-central1") {
		t.Errorf("the operation ended with %+v", done.Error)
	}
}

// TestRequestIDs: the same id is the same operation, whatever came of it, for a while.
func TestRequestIDs(t *testing.T) {
	c := start(t, Options{})
	const id = "?requestId=0a0b0c0d-0000-4000-8000-00000000000b"
	first := c.wait(c.insert(id))
	if again := c.insert(id); again.Name != first.Name || len(c.Instances()) != 1 {
		t.Errorf("the same id is operation %s and %s, and %d machines", first.Name, again.Name, len(c.Instances()))
	}
	if status := c.ask("POST", instances+"?requestId=0a0b0c0d-0000-4000-8000-00000000000c", machine, nil); status != 409 {
		t.Errorf("another id for the same name answers with %d, want 409", status)
	}
	if status := c.ask("POST", instances+"?requestId=nonsense", machine, nil); status != 400 {
		t.Errorf("an id that is none answers with %d, want 400", status)
	}
	if err := c.Remove(fmt.Sprint(first.TargetId)); err != nil {
		t.Fatal(err)
	}
	if again := c.insert(id); again.Name != first.Name || len(c.Instances()) != 0 {
		t.Error("the id of a machine that is gone makes another one")
	}
	c.Advance(2 * time.Hour)
	if again := c.insert(id); again.Name == first.Name {
		t.Error("an id is known for ever")
	}
}

func TestVisibility(t *testing.T) {
	c := start(t, Options{VisibleAfter: time.Hour})
	done := c.wait(c.insert(""))
	count := func() int {
		var list compute.InstanceList
		if status := c.ask("GET", instances, "", &list); status != 200 {
			t.Fatalf("list answers with %d", status)
		}
		return len(list.Items)
	}
	if count() != 0 || c.ask("GET", fmt.Sprintf("%s/%d", instances, done.TargetId), "", nil) != 200 {
		t.Error("a new machine is listed at once, or cannot be asked for")
	}
	if c.Advance(2 * time.Hour); count() != 1 {
		t.Error("a machine is never listed")
	}
}

func TestLostAnswer(t *testing.T) {
	c := start(t, Options{})
	c.Inject(Fault{Method: "compute.instances.insert", LoseAnswer: true, Times: 1})
	if status := c.ask("POST", instances, machine, nil); status != 0 || len(c.Instances()) != 1 {
		t.Errorf("a lost answer is %d, with %d machines", status, len(c.Instances()))
	}
}

func TestStopStartPreempt(t *testing.T) {
	c := start(t, Options{})
	op := c.wait(c.insert(""))
	path := fmt.Sprintf("%s/%d", instances, op.TargetId)
	verb := func(name string) {
		t.Helper()
		var op compute.Operation
		if status := c.ask("POST", path+"/"+name, "", &op); status != 200 {
			t.Fatalf("%s answers with %d", name, status)
		}
		c.wait(&op)
	}
	before := c.Instances()[0].NetworkInterfaces[0].AccessConfigs[0].NatIP
	if verb("stop"); c.Instances()[0].Status != "TERMINATED" || len(c.Disks()) != 1 {
		t.Errorf("stopped, the machine is %s with %d disks", c.Instances()[0].Status, len(c.Disks()))
	}
	if verb("start"); c.Instances()[0].Status != "RUNNING" || c.Instances()[0].NetworkInterfaces[0].AccessConfigs[0].NatIP == before {
		t.Error("started, the machine does not run, or kept its address")
	}
	if err := c.Preempt(fmt.Sprint(op.TargetId)); err == nil {
		t.Error("a machine that is not spot was preempted")
	}
	scheduling := `{"provisioningModel":"STANDARD"}`
	if status := c.ask("POST", path+"/setScheduling", scheduling, nil); status != 400 {
		t.Errorf("the scheduling of a running machine changes: %d", status)
	}
	for _, action := range []string{"STOP", "DELETE"} {
		c.Edit(fmt.Sprint(op.TargetId), func(in *compute.Instance) {
			in.Status, in.Scheduling = "RUNNING", &compute.Scheduling{ProvisioningModel: "SPOT", InstanceTerminationAction: action}
		})
		if err := c.Preempt(fmt.Sprint(op.TargetId)); err != nil {
			t.Fatal(err)
		}
		if stays := len(c.Instances()) == 1; stays != (action == "STOP") {
			t.Errorf("preempted with %s, the machine stays: %t", action, stays)
		}
	}
}

func TestFilters(t *testing.T) {
	labels := map[string]string{"sky-owner": "me", "n": "1"}
	for text, want := range map[string]bool{
		"":                          true,
		`(labels.sky-owner = "me")`: true,
		`(labels.sky-owner = "me") AND (labels.n = 2)`: false,
		`(labels.absent = "")`:                         false,
		`name eq "sky-.*"`:                             true,
		`name eq sky`:                                  false,
		`(name = "sky-1") (id = 7)`:                    true,
	} {
		match, refusal := parseFilter(text)
		if refusal != nil {
			t.Errorf("%q: %v", text, refusal)
		} else if got := match(map[string]string{"name": "sky-1", "id": "7"}, labels); got != want {
			t.Errorf("%q matches: %t, want %t", text, got, want)
		}
	}
	for _, text := range []string{"name", "(name = 1) OR (id = 2)", `name like "x"`, "(name = 1", `(name eq "a") AND (id = 1)`} {
		if _, refusal := parseFilter(text); refusal == nil {
			t.Errorf("%q is taken for a filter", text)
		}
	}
}

// TestNoDocument: a fake without the document is no fake.
func TestNoDocument(t *testing.T) {
	for _, text := range []string{"", "{}", `{"resources":{"x":{"methods":{"m":{"flatPath":"a"}}}}}`} {
		if _, err := parseDocument([]byte(text)); err == nil {
			t.Errorf("%q is taken for the discovery document", text)
		}
	}
}
