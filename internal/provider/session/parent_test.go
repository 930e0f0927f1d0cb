// SPDX-License-Identifier: MPL-2.0

package session

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestParentGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var orphan atomic.Bool
		ops := NewOperations()
		gone := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		root := watchParent(ctx, orphan.Load, time.Second, ops, func() { close(gone) })
		data := New(Settings{Root: root, Ops: ops})
		op, end := data.Begin(t.Context(), time.Hour)
		<-time.After(10 * time.Second)
		if op.Err() != nil {
			t.Fatalf("cancelled with the parent alive: %v", context.Cause(op))
		}
		orphan.Store(true)
		<-op.Done()
		if !errors.Is(context.Cause(op), ErrParentGone) {
			t.Errorf("cause = %v", context.Cause(op))
		}
		synctest.Wait()
		select {
		case <-gone:
			t.Fatal("the process ended under a running operation")
		default:
		}
		end()
		<-gone
	})
}

// TestParentGoneFromTheStart: a CLI that was killed at once is not waited for.
func TestParentGoneFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, gone := time.Now(), make(chan struct{})
		root := watchParent(t.Context(), func() bool { return true }, time.Hour, NewOperations(), func() { close(gone) })
		<-gone
		if !errors.Is(context.Cause(root), ErrParentGone) || time.Since(start) > 0 {
			t.Errorf("cause = %v after %s", context.Cause(root), time.Since(start))
		}
	})
}

func TestParentWatchEndsWithServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		root := watchParent(ctx, func() bool { return false }, time.Second, NewOperations(), func() { t.Error("gone") })
		cancel()
		<-root.Done()
	})
}

func TestOperationTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := New(Settings{Root: context.Background(), Ops: NewOperations()})
		op, end := data.Begin(t.Context(), time.Minute)
		defer end()
		<-op.Done()
		var timeout TimeoutError
		if !errors.As(context.Cause(op), &timeout) || timeout.after != time.Minute {
			t.Errorf("cause = %v", context.Cause(op))
		}
	})
}
