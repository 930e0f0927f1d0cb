// SPDX-License-Identifier: MPL-2.0

package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

var errFlaky = errors.New("flaky")

func TestDoRepeatsUntilSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, start := 0, time.Now()
		err := retry.Do(t.Context(), retry.Policy{Initial: time.Second, Max: 2 * time.Second}, func(context.Context) error {
			if calls++; calls < 4 {
				return errFlaky
			}
			return nil
		})
		if err != nil || calls != 4 {
			t.Fatalf("Do = %v after %d calls, want success after 4", err, calls)
		}
		if got, want := time.Since(start), 5*time.Second; got != want { // 1 + 2 + 2
			t.Errorf("paused %v in all, want %v", got, want)
		}
	})
}

func TestDoEnds(t *testing.T) {
	tests := []struct {
		name   string
		policy retry.Policy
		err    error
		calls  int
		want   []error
	}{
		{"permanent", retry.Policy{}, retry.Stop(errFlaky), 1, []error{errFlaky}},
		{"attempts", retry.Policy{Attempts: 3}, errFlaky, 3, []error{errFlaky}},
		{"context", retry.Policy{Initial: time.Minute}, errFlaky, 1, []error{errFlaky, context.DeadlineExceeded}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				calls := 0
				err := retry.Do(ctx, tt.policy, func(context.Context) error { calls++; return tt.err })
				if calls != tt.calls {
					t.Errorf("%d calls, want %d", calls, tt.calls)
				}
				for _, want := range tt.want {
					if !errors.Is(err, want) {
						t.Errorf("Do = %v, want it to hold %v", err, want)
					}
				}
			})
		})
	}
}

func TestCancelledContextCallsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := retry.Do(ctx, retry.Policy{}, func(context.Context) error {
		t.Error("called under a cancelled context")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Do = %v, want context.Canceled", err)
	}
}
