// SPDX-License-Identifier: MPL-2.0

package remote_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

func TestGet(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	c := dial(t, n)
	write(t, filepath.Join(n.Home, "sky_workdir"), map[string]string{
		"out/a.csv": "a", "out/b.csv": "b", "out/skip.txt": "-", "my file *": "odd", "-rf": "dash", "tree/deep/x": "x", "tree/link": "-> deep/x",
		"$(touch pwned)": "8", "evil": "-> /etc/passwd",
	})
	write(t, n.Home, map[string]string{"at home": "h"})
	dest := filepath.Join(t.TempDir(), "results")
	got, err := c.Get(t.Context(), "~/sky_workdir", []string{"out/*.csv", "my file [*]", "-*", "tree", "$(touch pwned)", "~/sky_workdir/out/skip.txt"}, dest)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"out/a.csv": "a", "out/b.csv": "b", "out/skip.txt": "-", "my file *": "odd", "-rf": "dash", "tree/deep/x": "x", "tree/link": "-> deep/x", "$(touch pwned)": "8"}
	same(t, read(t, dest), want)
	if len(got) != len(want) || !slices.Contains(got, "out/a.csv") {
		t.Errorf("Get = %q", got)
	}
	for pattern, says := range map[string]string{"none/*": "nothing matches none/*", "evil": "outside the folder", "": "not a pattern"} {
		if _, err := c.Get(t.Context(), "~/sky_workdir", []string{pattern}, dest); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("Get(%q) = %v, want %q", pattern, err, says)
		}
	}
	if _, err := c.Get(t.Context(), "~/sky_workdir", []string{"none"}, dest); !errors.Is(err, remote.ErrNoMatch) {
		t.Errorf("Get of nothing = %v, want ErrNoMatch", err)
	}
	if got, err := c.Get(t.Context(), "~/sky_workdir", []string{"~/at home"}, dest); err != nil || len(got) != 1 || !strings.HasSuffix(got[0], "at home") {
		t.Errorf("Get from home = %q, %v", got, err)
	}
}

// TestGetTrustsNobody has the node send what no tar would.
func TestGetTrustsNobody(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	base := t.TempDir()
	dest := filepath.Join(base, "in", "dest")
	for name, members := range map[string][]tar.Header{
		"parent":       {{Name: "../../escaped", Typeflag: tar.TypeReg}},
		"link out":     {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../.."}, {Name: "l/escaped", Typeflag: tar.TypeReg}},
		"absolute":     {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: base}},
		"winding link": {{Name: "a/y", Typeflag: tar.TypeSymlink, Linkname: "../."}, {Name: "l", Typeflag: tar.TypeSymlink, Linkname: "a/y/../in"}},
		"hidden link":  {{Name: "a/b", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "a/b/l", Typeflag: tar.TypeSymlink, Linkname: "../in"}},
		"hard link":    {{Name: "h", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}},
		"device":       {{Name: "d", Typeflag: tar.TypeChar}},
		"torn archive": {{Name: "torn", Typeflag: tar.TypeReg, Size: 1 << 20}},
	} {
		var archive bytes.Buffer
		tw := tar.NewWriter(&archive)
		for _, h := range members {
			if err := tw.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(t.TempDir(), "evil")
		if err := os.WriteFile(path, archive.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		n.Set(remotetest.Behaviour{ForcedCommand: `IFS= read -r m; echo "$m 77"; cat ` + path})
		if got, err := dial(t, n).Get(t.Context(), "~", []string{"x"}, dest); err == nil {
			t.Errorf("%s: Get = %q, want a refusal", name, got)
		}
	}
	same(t, read(t, base), map[string]string{"in/dest/a/y": "-> ../.", "in/dest/a/b": "-> .."}) // which stay inside
}
