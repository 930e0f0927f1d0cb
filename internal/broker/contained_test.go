// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// inContainers asks for two nodes by alternatives with these images. The offers
// satisfy the last one only: the others want more CPUs than the machines have.
func inContainers(images ...string) Spec {
	spec := twoNodes("train")
	one := spec.Request.Alternatives[0]
	spec.Request.Alternatives = nil
	for i, image := range images {
		one.Image, one.CPUs = image, cloud.Quantity{}
		if i < len(images)-1 {
			one.CPUs = cloud.Quantity{Value: 16, AtLeast: true}
		}
		spec.Request.Alternatives = append(spec.Request.Alternatives, one)
	}
	return spec
}

// containersOf has the bench note in which container each rank was told to work.
func (x *bench) containersOf() *[]string {
	var got []string
	x.exit = func(rank int, script string) (int, string) {
		if _, image, ok := strings.Cut(script, "exec sh container.sh up "); ok {
			image, _, _ = strings.Cut(image, " ")
			x.mu.Lock()
			got = append(got, fmt.Sprintf("%d %s", rank, strings.Trim(image, "'")))
			x.mu.Unlock()
		}
		return 0, ""
	}
	return &got
}

// wantContainers takes what was noted.
func wantContainers(t *testing.T, when string, got *[]string, want ...string) {
	t.Helper()
	slices.Sort(*got)
	if !slices.Equal(*got, want) {
		t.Errorf("%s: the containers are %q, want %q", when, *got, want)
	}
	*got = nil
}

const (
	imageA = "docker.io/library/a:1"
	imageB = "docker.io/library/b:1"
)

// Nodes that are added or restored run in the container of the others, whichever of
// several alternatives the cluster was launched for.
func TestGrowthAndRestoreInTheSameContainer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		got := x.containersOf()
		spec := inContainers("docker:a:1", "docker:b:1")
		c := x.mustLaunch(t, spec)
		wantContainers(t, "launched", got, "0 "+imageB, "1 "+imageB)
		c, err := x.Resize(t.Context(), c, spec, 3)
		if err != nil {
			t.Fatal(err)
		}
		wantContainers(t, "grown", got, "2 "+imageB)
		x.lose(0)
		if c, err = x.Refresh(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if _, err = x.Restore(t.Context(), c, spec); err != nil {
			t.Fatal(err)
		}
		wantContainers(t, "restored", got, "0 "+imageB)
	})
}

// A cluster that is imported on another computer says its container, and its nodes
// are restored with it: also where this computer knows the cluster, but not its image.
func TestImportKnowsTheContainer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		fc := newFakeCloud()
		path := filepath.Join(t.TempDir(), "key")
		if _, err := remote.EnsureKeyPair(path); err != nil {
			t.Fatal(err)
		}
		signer, err := remote.LoadSigner(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		own := func() ([]ssh.Signer, error) { return []ssh.Signer{signer}, nil }
		x := newBench(t, stateDir(t), fc)
		x.cfg.Signers = own
		spec := inContainers("docker:a:1", "docker:b:1")
		c := x.mustLaunch(t, spec)
		if here, err := x.Find(t.Context(), c.ID); err != nil || here.Container != imageB {
			t.Errorf("Find beside the journal: the container is %q, %v", here.Container, err)
		}
		elsewhere := newBench(t, stateDir(t), fc)
		elsewhere.owner, elsewhere.cfg.Signers = x.owner, own
		got := elsewhere.containersOf()
		found, err := elsewhere.Find(t.Context(), c.ID)
		if err != nil || found.Container != imageB {
			t.Fatalf("Find: the container is %q, %v", found.Container, err)
		}
		elsewhere.lose(1)
		if found, err = elsewhere.Refresh(t.Context(), found); err != nil {
			t.Fatal(err)
		}
		// What the import writes, and then what is in other words than the machines.
		spec.Request = optimizer.Request{Nodes: 2, Alternatives: []cloud.Requirement{{Cloud: c.Cloud, Region: c.Region, InstanceType: "other", Image: cloud.ImageOf(found.Container)}}}
		if found, err = elsewhere.Restore(t.Context(), found, spec); err != nil || found.Status != cluster.StatusUp {
			t.Fatalf("Restore: %s, %v", found.Status, err)
		}
		wantContainers(t, "restored", got, "1 "+imageB)
	})
}

// Where the request asks for another container than the nodes run in, or the nodes
// themselves differ, no machine is made.
func TestGrowthInAnotherContainerIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		launched, asked string
		differ          bool
		want            []string
	}{
		"another":       {launched: "docker:b:1", asked: "docker:a:1", want: []string{imageA, `write image_id = "docker:` + imageB + `"`}},
		"none any more": {launched: "docker:b:1", want: []string{"run in the container " + imageB, "ask for no container"}},
		"none before":   {asked: "docker:a:1", want: []string{"run in no container", imageA, "leave image_id out"}},
		"both":          {launched: "docker:b:1", asked: "docker:b:1", differ: true, want: []string{imageB + " and", "in no container", "-replace"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				c := x.mustLaunch(t, inContainers(tt.launched))
				if tt.differ { // as releases grew clusters that did not know
					delete(x.cloud.Machines[1].Notes, cloud.TagContainer)
				}
				runs := x.cloud.Called("run")
				now, err := x.Resize(t.Context(), c, inContainers(tt.asked), 3)
				for _, want := range tt.want {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("Resize: %v\nwant %q", err, want)
					}
				}
				if x.cloud.Called("run") != runs || now.Size != 2 || now.Status != cluster.StatusUp {
					t.Errorf("%d create calls; the cluster is %s with %d nodes", x.cloud.Called("run")-runs, now.Status, now.Size)
				}
				x.wantLive(t, 2)
			})
		})
	}
}
