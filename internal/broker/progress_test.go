// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The log of a launch says at every step how far it is and what it waits for,
// also while nothing happens; what follows is in the same file.
func TestProgress(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		fc := newFakeCloud()
		fc.Boot = time.Minute
		x := newBench(t, stateDir(t), fc)
		spec := twoNodes("train")
		spec.Setup = "true"
		c := x.mustLaunch(t, spec)
		read := func() string {
			text, err := os.ReadFile(x.LogPath("train"))
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		last := -1
		for _, m := range regexp.MustCompile(`progress=(\d+)%`).FindAllStringSubmatch(read(), -1) {
			n := 0
			for _, d := range m[1] {
				n = n*10 + int(d-'0')
			}
			if n < last {
				t.Errorf("progress went from %d%% to %d%%", last, n)
			}
			last = n
		}
		for _, want := range []string{
			`progress=15% waiting_for="2 machines of gpu-8 to run"`, `waited=45s at_most=15m0s`,
			`waiting_for="every node to answer over SSH" done="2 of 2"`, `progress=98% waiting_for="files and setup on every node" done="2 of 2"`,
		} {
			if !strings.Contains(read(), want) {
				t.Errorf("the log lacks %s:\n%s", want, read())
			}
		}
		if _, err := x.Resize(t.Context(), c, spec, 3); err != nil {
			t.Fatal(err)
		}
		if err := x.Destroy(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`msg=done cluster=train doing="resizing the cluster"`, `msg=done cluster=train doing="removing the cluster`} {
			if !strings.Contains(read(), want) {
				t.Errorf("the log lacks %s:\n%s", want, read())
			}
		}
	})
}

// A log that cannot be written keeps no machine alive.
func TestDestroyWithoutALog(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("train"))
		if err := os.Remove(x.LogPath("train")); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(x.LogPath("train"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := x.Destroy(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		x.wantLive(t, 0)
	})
}
