// SPDX-License-Identifier: MPL-2.0

//go:build unix

package fluffycloud

import (
	"os"
	"testing"
)

func TestLaunchExecTerminate(t *testing.T) {
	c := newCloud(t, nil)
	i := c.launch(nil)
	client := c.dial(i)
	if r := c.run(client, "echo hello; echo oops >&2; exit 7"); r.out != "hello\n" || r.err != "oops\n" || r.code != 7 {
		t.Errorf("got %+v", r)
	}
	if r := c.run(client, "kill -TERM $$"); r.signal != "TERM" {
		t.Errorf("got %+v, want signal TERM", r)
	}
	c.terminate(i.ID)
	if _, err := os.Stat(c.srv.paths(i.ID).Dir); !os.IsNotExist(err) {
		t.Errorf("the disk is still there: %v", err)
	}
}
