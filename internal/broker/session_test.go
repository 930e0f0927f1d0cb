// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
)

// slowCloud opens when the context ends, and never well.
type slowCloud struct {
	memcloud.Factory
	begun chan struct{}
}

func (slowCloud) Name() string { return "cirrus" }

func (s slowCloud) Open(ctx context.Context, _ cloud.Credentials) (cloud.Session, error) {
	s.begun <- struct{}{}
	<-ctx.Done()
	return cloud.Session{}, ctx.Err()
}

// A cloud that hangs while it is opened keeps nobody from another, whose
// machines may have to be removed, and a second caller no longer than it wants.
func TestACloudThatHangsWhileItIsOpened(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		slow := slowCloud{memcloud.Factory{Cloud: newFakeCloud()}, make(chan struct{})}
		registry, err := cloud.NewRegistry(memcloud.Factory{Cloud: x.cloud}, slow)
		if err != nil {
			t.Fatal(err)
		}
		x.clouds.Registry = registry
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := x.clouds.Open(ctx, "cirrus")
			ended <- err
		}()
		<-slow.begun
		if err := x.Destroy(t.Context(), x.mustLaunch(t, twoNodes("train"))); err != nil {
			t.Error(err)
		}
		impatient, stop := context.WithCancel(t.Context())
		stop()
		if _, err := x.clouds.Open(impatient, "cirrus"); !errors.Is(err, context.Canceled) {
			t.Errorf("a second caller: %v", err)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the first caller: %v", err)
		}
	})
}
