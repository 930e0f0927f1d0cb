// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// chatty is a node whose scripts print on both streams at the same time, as a
// remote.Client passes them on.
type chatty struct {
	Node
	lines int
}

func (n chatty) RunStep(_ context.Context, cmd *remote.Step) (int, error) {
	var group errgroup.Group
	group.Go(func() error { return n.print(cmd.Stdout.Write, "stdout") })
	group.Go(func() error { return n.print(cmd.Stderr.Write, "stderr") })
	return 1, group.Wait()
}

func (n chatty) print(write func([]byte) (int, error), stream string) error {
	for i := range n.lines {
		if _, err := write([]byte(fmt.Sprintf("%s %d\n", stream, i))); err != nil {
			return err
		}
	}
	return nil
}

// What a setup script prints on its two streams arrives at the same time.
func TestSetupThatPrintsOnBothStreams(t *testing.T) {
	const lines = 1000
	var log bytes.Buffer
	n := nodeSetup{client: chatty{lines: lines}, log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := n.script(t.Context(), "setup", "true"); err == nil || strings.Count(err.Error(), "\nstd") < 100 {
		t.Errorf("script: %v", err)
	}
	for _, stream := range []string{"stdout", "stderr"} {
		for i := range lines {
			if want := fmt.Sprintf(`msg="%s %d"`, stream, i); !strings.Contains(log.String(), want) {
				t.Fatalf("the log has no %s", want)
			}
		}
	}
}
