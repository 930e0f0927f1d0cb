// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"encoding/json"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
)

// policy is the minimal one in the docs: every action, and whether it is
// allowed on what carries an owner's tag only.
type policy map[string]bool

func readPolicy(t *testing.T) policy {
	t.Helper()
	page, err := os.ReadFile("../../docs/templates/guides/aws.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "```json\n")
	text, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("the page shows no policy")
	}
	var document struct {
		Statement []struct {
			Effect    string
			Action    []string
			Condition map[string]map[string]string
		}
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatalf("the policy is no JSON: %v", err)
	}
	p := policy{}
	for _, s := range document.Statement {
		for _, a := range s.Action {
			if _, twice := p[a]; twice || s.Effect != "Allow" {
				t.Errorf("%s comes twice, or is not allowed but: %s", a, s.Effect)
			}
			p[a] = s.Condition["StringLike"]["aws:ResourceTag/"+cloud.TagOwner] == "*"
		}
	}
	return p
}

// TestPolicyIsWhatTheDriverCanCall: the driver has these calls and no client, so
// that an action outside the policy cannot be called, and each of them is in it.
func TestPolicyIsWhatTheDriverCanCall(t *testing.T) {
	allowed := readPolicy(t)
	can := map[string]bool{"ssm:GetParameter": true}
	for i := range reflect.TypeFor[calls]().NumField() {
		can["ec2:"+reflect.TypeFor[calls]().Field(i).Name] = true
	}
	for a := range can {
		if _, ok := allowed[a]; !ok {
			t.Errorf("the driver can call %s, which the policy does not allow", a)
		}
	}
	for a := range allowed {
		if !can[a] {
			t.Errorf("the policy allows %s, which the driver cannot call", a)
		}
	}
	for a := range ec2Facts() {
		if !can["ec2:"+a] {
			t.Errorf("there are facts about %s, which the driver cannot call", a)
		}
	}
}

// TestPolicyAtRun watches the wire: no action outside the policy is called,
// every one in it is, and those that are bound to the owner's tag concern
// nothing without it.
func TestPolicyAtRun(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	w.fake.leaveVolumes = true
	if err := wholeLife(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	checkPolicy(t, w.proxy)
	called := w.proxy.Actions()
	for a := range readPolicy(t) {
		if called[a] == 0 {
			t.Errorf("the policy allows %s, which a whole life does not need", a)
		}
	}
	wantOwned(t, w.fake)
}

// checkPolicy holds every call that went through the proxy to the policy.
func checkPolicy(t *testing.T, proxy *ec2proxy.Proxy) {
	t.Helper()
	allowed := readPolicy(t)
	allowed["sts:GetCallerIdentity"] = false // needs no permission
	for a := range proxy.Actions() {
		if _, ok := allowed[a]; !ok {
			t.Errorf("%s was called and is not in the policy", a)
		}
	}
}

// wantOwned fails where a call that the policy binds to the owner's tag
// concerned something without it.
func wantOwned(t *testing.T, fake *fakeEC2) {
	t.Helper()
	fake.mu.Lock()
	defer fake.mu.Unlock()
	bound := readPolicy(t)
	for action, things := range fake.touchedForeign {
		if bound["ec2:"+action] {
			t.Errorf("%s would be refused for %v: it carries no owner's tag", action, things)
		}
	}
}

// touch writes down which call of the driver's concerned what without an
// owner's tag. Placement groups are the proxy's.
func (f *fakeEC2) touch(action string, v url.Values) {
	things := map[string]map[string]string{}
	for _, id := range slices.Concat(numbered(v, "InstanceId"), numbered(v, "ResourceId"), []string{v.Get("InstanceId"), v.Get("GroupId"), v.Get("VolumeId")}) {
		machine := f.instance("i-" + strings.TrimPrefix(strings.TrimPrefix(id, "vol-"), "i-"))
		switch {
		case id == "" || (machine == nil && f.group(id) == nil): // an error of another kind
		case machine == nil:
			things[id] = f.group(id).tags
		case strings.HasPrefix(id, "vol-"):
			things[id] = machine.volumeTags
		default:
			things[id] = machine.tags
		}
	}
	for id, tags := range things {
		if tags[cloud.TagOwner] == "" {
			f.touchedForeign[action] = append(f.touchedForeign[action], id)
		}
	}
}

// TestImageParametersAreCovered: the policy allows AWS's public parameters only,
// and the images that the driver chooses itself are all among them.
func TestImageParametersAreCovered(t *testing.T) {
	page, err := os.ReadFile("../../docs/templates/guides/aws.md")
	if err != nil {
		t.Fatal(err)
	}
	const resource = "arn:aws:ssm:*::parameter/aws/service/*"
	if !strings.Contains(string(page), `"Resource": "`+resource+`"`) {
		t.Fatalf("the policy does not name %s", resource)
	}
	allowed := strings.TrimSuffix(strings.TrimPrefix(resource, "arn:aws:ssm:*::parameter"), "*")
	for _, kind := range []typeInfo{
		{arch: "x86_64"}, {arch: "arm64"}, {arch: "x86_64", accelerator: acceleratorNeuron}, {arch: "x86_64", accelerator: acceleratorNvidia},
		{arch: "arm64", accelerator: acceleratorNvidia}, {name: "p3.2xlarge", arch: "x86_64", accelerator: acceleratorNvidia},
	} {
		if name := defaultSource(kind).parameter; !strings.HasPrefix(name, allowed) {
			t.Errorf("the parameter %s of %+v is not under %s", name, kind, allowed)
		}
	}
}

func TestTouch(t *testing.T) {
	f, _ := newFakeEC2(t)
	f.instances = append(f.instances, &fakeInstance{id: "i-1", tags: map[string]string{cloud.TagOwner: "o"}}, &fakeInstance{id: "i-2"})
	f.touch("TerminateInstances", url.Values{"InstanceId.1": {"i-1"}, "InstanceId.2": {"i-2"}})
	f.touch("DeleteVolume", url.Values{"VolumeId": {"vol-1"}})
	if got := f.touchedForeign["TerminateInstances"]; !slices.Equal(got, []string{"i-2"}) || len(f.touchedForeign["DeleteVolume"]) != 1 {
		t.Errorf("foreign things touched: %v", f.touchedForeign)
	}
}
