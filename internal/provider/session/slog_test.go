// SPDX-License-Identifier: MPL-2.0

package session

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/hashicorp/terraform-plugin-log/tflogtest"
)

func TestTflogBridge(t *testing.T) {
	var out bytes.Buffer
	ctx := tflogtest.RootLogger(context.Background(), &out)
	log := newTflogLogger().With("cluster", "train").WithGroup("attempt").With("n", 1)
	log.WarnContext(ctx, "failed", "error", errors.New("no capacity"), slog.Group("at", "zone", "z"))
	log.Info("without a Terraform context")
	entries, err := tflogtest.MultilineJSONDecode(&out)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	for key, want := range map[string]any{
		"@level": "warn", "@message": "failed", "cluster": "train", "attempt.n": 1.0, "attempt.error": "no capacity", "attempt.at.zone": "z",
	} {
		if got := entries[0][key]; got != want {
			t.Errorf("%s = %v, want %v", key, got, want)
		}
	}
}
