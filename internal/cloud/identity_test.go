// SPDX-License-Identifier: MPL-2.0

package cloud_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

var sample = cloud.Identity{Owner: "owner-1", Cluster: "Train_7", Generation: "g1", Attempt: 2, Rank: 3}

// variants differ from sample in one field each, or in where fields end.
func variants() []cloud.Identity {
	return []cloud.Identity{
		sample,
		{Owner: "owner-2", Cluster: "Train_7", Generation: "g1", Attempt: 2, Rank: 3},
		{Owner: "owner-1", Cluster: "train-7", Generation: "g1", Attempt: 2, Rank: 3},
		{Owner: "owner-1", Cluster: "Train_7", Generation: "g2", Attempt: 2, Rank: 3},
		{Owner: "owner-1", Cluster: "Train_7", Generation: "g1", Attempt: 3, Rank: 3},
		{Owner: "owner-1", Cluster: "Train_7", Generation: "g1", Attempt: 2, Rank: 4},
		{Owner: "owner-1", Cluster: "Train_7", Generation: "g12", Attempt: 3, Rank: 3},
		{Owner: "owner-1", Cluster: "Train_7", Generation: "g1", Attempt: 23, Rank: 3},
		{Owner: "owner-1Train_7", Cluster: "", Generation: "g1", Attempt: 2, Rank: 3},
	}
}

// TestToken: the token is in the journals of released versions. It never changes.
func TestToken(t *testing.T) {
	const want = "b83c26e2"
	if got := sample.Token(); len(got) != 64 || !strings.HasPrefix(got, want) {
		t.Errorf("Token() = %q, want 64 digits that begin with %q", got, want)
	}
	seen := map[string]cloud.Identity{}
	for _, id := range variants() {
		if other, ok := seen[id.Token()]; ok {
			t.Errorf("%+v and %+v share a token", id, other)
		}
		seen[id.Token()] = id
	}
}

func TestName(t *testing.T) {
	clusters := []string{"a", "Train_7", "train-7", "---", "ÄÖÜ", "9", strings.Repeat("x", 300), strings.Repeat("a-", 150)}
	for _, limit := range []int{0, 20, 24, 63, 255} {
		seen := map[string]bool{}
		for _, cluster := range clusters {
			for _, rank := range []int{0, 1, 999} {
				id := cloud.Identity{Owner: "o", Cluster: cluster, Generation: "g", Rank: rank}
				name := id.Name(limit)
				switch {
				case limit > 0 && len(name) > limit:
					t.Errorf("Name(%d) of %q has %d characters: %q", limit, cluster, len(name), name)
				case name != cloud.Slug(name):
					t.Errorf("Name(%d) of %q is %q, with characters or dashes too many", limit, cluster, name)
				case seen[name]:
					t.Errorf("Name(%d) of %q is taken: %q", limit, cluster, name)
				}
				seen[name] = true
			}
		}
	}
	if got, want := sample.Name(63), "sky-train-7-"+sample.Token()[:8]+"-3"; got != want {
		t.Errorf("Name(63) = %q, want %q", got, want)
	}
}

func TestTagsRoundTrip(t *testing.T) {
	for _, id := range variants() {
		got, ok := cloud.IdentityFromTags(id.Tags())
		if wantOK := id.Cluster != ""; ok != wantOK || (ok && got != id) {
			t.Errorf("IdentityFromTags(%v) = %+v, %t, want %+v, %t", id.Tags(), got, ok, id, wantOK)
		}
	}
}

func TestForeignTags(t *testing.T) {
	tests := map[string]func(map[string]string){
		"no owner":         func(m map[string]string) { delete(m, cloud.TagOwner) },
		"empty owner":      func(m map[string]string) { m[cloud.TagOwner] = "" },
		"no cluster":       func(m map[string]string) { delete(m, cloud.TagCluster) },
		"no generation":    func(m map[string]string) { delete(m, cloud.TagGeneration) },
		"no attempt":       func(m map[string]string) { delete(m, cloud.TagAttempt) },
		"no rank":          func(m map[string]string) { delete(m, cloud.TagRank) },
		"rank in words":    func(m map[string]string) { m[cloud.TagRank] = "first" },
		"rank with spaces": func(m map[string]string) { m[cloud.TagRank] = " 1" },
		"negative rank":    func(m map[string]string) { m[cloud.TagRank] = "-1" },
		"negative attempt": func(m map[string]string) { m[cloud.TagAttempt] = "-1" },
		"huge attempt":     func(m map[string]string) { m[cloud.TagAttempt] = strings.Repeat("9", 40) },
		"nothing":          func(m map[string]string) { clear(m) },
	}
	for name, change := range tests {
		tags := sample.Tags()
		change(tags)
		if id, ok := cloud.IdentityFromTags(tags); ok {
			t.Errorf("%s: %v is taken for %+v", name, tags, id)
		}
	}
	if _, ok := cloud.IdentityFromTags(nil); ok {
		t.Error("no tags are taken for an identity")
	}
	user := sample.Tags()
	maps.Copy(user, map[string]string{"team": "weather", cloud.TagCommitted: "true"})
	if id, ok := cloud.IdentityFromTags(user); !ok || id != sample {
		t.Errorf("beside other tags the identity is %+v, %t", id, ok)
	}
}

func TestMatches(t *testing.T) {
	full := cloud.ClusterRef{Owner: "owner-1", Cluster: "Train_7", Generation: "g1", Region: "r", Zone: "z"}
	tests := map[string]struct {
		change func(*cloud.ClusterRef)
		want   bool
	}{
		"itself":           {func(*cloud.ClusterRef) {}, true},
		"any cluster":      {func(r *cloud.ClusterRef) { r.Cluster = "" }, true},
		"any generation":   {func(r *cloud.ClusterRef) { r.Generation = "" }, true},
		"any region":       {func(r *cloud.ClusterRef) { r.Region, r.Zone = "", "" }, true},
		"any zone":         {func(r *cloud.ClusterRef) { r.Zone = "" }, true},
		"other owner":      {func(r *cloud.ClusterRef) { r.Owner = "owner-2" }, false},
		"no owner":         {func(r *cloud.ClusterRef) { r.Owner = "" }, false},
		"like name":        {func(r *cloud.ClusterRef) { r.Cluster = "train-7" }, false},
		"other generation": {func(r *cloud.ClusterRef) { r.Generation = "g2" }, false},
		"other region":     {func(r *cloud.ClusterRef) { r.Region = "s" }, false},
		"other zone":       {func(r *cloud.ClusterRef) { r.Zone = "y" }, false},
	}
	for name, test := range tests {
		ref := full
		test.change(&ref)
		if got := ref.Matches(sample, "r", "z"); got != test.want {
			t.Errorf("%s: Matches = %t, want %t", name, got, test.want)
		}
	}
}

// TestOwns: what belongs to a cluster as a whole is known by tags without rank.
func TestOwns(t *testing.T) {
	of := func(owner, cluster, generation string) cloud.ClusterRef {
		return cloud.ClusterRef{Owner: owner, Cluster: cluster, Generation: generation}
	}
	own := of("o", "c", "g")
	for _, ref := range []cloud.ClusterRef{own, of("o", "c", ""), of("o", "", "")} {
		if !ref.Owns(own.Tags()) {
			t.Errorf("%+v does not own %v", ref, own.Tags())
		}
	}
	for _, ref := range []cloud.ClusterRef{of("p", "c", "g"), of("o", "d", "g"), of("o", "c", "h"), of("", "c", "g"), {}} {
		if ref.Owns(own.Tags()) {
			t.Errorf("%+v owns %v", ref, own.Tags())
		}
	}
	for _, tags := range []map[string]string{nil, of("", "c", "g").Tags(), of("o", "", "g").Tags(), of("o", "c", "").Tags()} {
		if of("o", "", "").Owns(tags) || (cloud.ClusterRef{}).Owns(tags) {
			t.Errorf("somebody owns %v", tags)
		}
	}
}

// TestRefName: names of what is there already must not change.
func TestRefName(t *testing.T) {
	ref := cloud.ClusterRef{Owner: "o", Cluster: "c", Generation: "g"}
	long := ref
	long.Cluster = "Long Name!"
	for got, want := range map[string]string{
		ref.Name(63):              "sky-c-9a942dacd4f95b0c",
		long.Name(63, "firewall"): "sky-long-name-66164e481f5b7d0f",
		long.Name(26, "firewall"): "sky-long-66164e481f5b7d0f",
	} {
		if got != want {
			t.Errorf("Name = %s, want %s", got, want)
		}
	}
}

// TestRefSurvivesJSON: the journal and the state hold refs, and there "none of
// its machines" must not become "all of them".
func TestRefSurvivesJSON(t *testing.T) {
	for _, instances := range [][]string{nil, {}, {"i-1"}} {
		want := cloud.ClusterRef{Owner: "o", Cluster: "c", Generation: "g", Cloud: "x", Region: "r", Zone: "z", Instances: instances}
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got cloud.ClusterRef
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%#v came back as %#v", want, got)
		}
	}
}

func TestSlug(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "abc": "abc", "A_b C": "a-b-c", "--a--": "a", "a..b": "a-b", "ü": "", "a\x00b": "a-b", "7": "7",
	} {
		if got := cloud.Slug(in); got != want {
			t.Errorf("Slug(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add("Train_7", 3, 63)
	f.Add(strings.Repeat("-", 80), 0, 20)
	f.Fuzz(func(t *testing.T, cluster string, rank, limit int) {
		if rank < 0 || rank > 9999 || limit < 20 {
			return
		}
		name := cloud.Identity{Owner: "o", Cluster: cluster, Generation: "g", Rank: rank}.Name(limit)
		if len(name) > limit || name != cloud.Slug(name) || !strings.HasPrefix(name, "sky") {
			t.Errorf("Name(%d) of %q is %q", limit, cluster, name)
		}
	})
}

func TestErrors(t *testing.T) {
	raw := errors.New("InsufficientInstanceCapacity")
	err := fmt.Errorf("attempt 1: %w", &cloud.Error{
		Fault:     cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone},
		Op:        "launch",
		Placement: cloud.Placement{Nodes: 2, Offer: cloud.Offer{Cloud: "x", Region: "r", Zone: "z", Market: cloud.Spot, InstanceType: cloud.InstanceType{Name: "big"}}},
		Err:       raw,
	})
	const want = "attempt 1: launch 2x big[spot] in x/r/z: capacity (zone): InsufficientInstanceCapacity"
	if err.Error() != want {
		t.Errorf("Error() = %q, want %q", err, want)
	}
	var wrapped *cloud.Error
	if !errors.Is(err, raw) || !errors.As(err, &wrapped) || wrapped.Fault.Kind != cloud.KindCapacity {
		t.Error("the driver's error, or its meaning, cannot be had back")
	}
	extra := error(&cloud.ExtraNodesError{Cluster: "c", Want: 2, Extra: []string{"i-3", "i-4"}})
	if want := `cluster "c" has machines beyond the 2 asked for: i-3, i-4`; extra.Error() != want {
		t.Errorf("Error() = %q, want %q", extra, want)
	}
}

type named string

func (n named) Name() string                                                       { return string(n) }
func (named) Capabilities() cloud.Capabilities                                     { return cloud.Capabilities{} }
func (named) Options() []cloud.Option                                              { return nil }
func (named) Open(context.Context, cloud.Credentials) (s cloud.Session, err error) { return s, nil }

func TestRegistry(t *testing.T) {
	r, err := cloud.NewRegistry(named("b"), named("a"))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Names(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("Names() = %v", got)
	}
	if _, ok := r.Get("c"); ok {
		t.Error("Get finds a cloud that is not there")
	}
	if _, err := cloud.NewRegistry(named("a"), named("a")); err == nil {
		t.Error("two clouds of one name are accepted")
	}
}
