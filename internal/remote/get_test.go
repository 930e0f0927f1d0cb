// SPDX-License-Identifier: MPL-2.0

package remote_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

func wants(patterns ...string) remote.Fetch {
	return remote.Fetch{Base: "~/sky_workdir", Patterns: patterns}
}

func TestGet(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	c := dial(t, n)
	write(t, filepath.Join(n.Home, "sky_workdir"), map[string]string{
		"out/a.csv": "a", "out/b.csv": "b", "out/skip.txt": "-", "my file *": "odd", "-rf": "dash", "tree/deep/x": "x", "tree/link": "-> deep/x",
		"$(touch pwned)": "8", "evil": "-> /etc/passwd", "x1.log": "1", "x2.log": "2", "x3.log": "3", ".hidden": "h", "conf/main.tf": "mine",
	})
	write(t, n.Home, map[string]string{"at home": "h"})
	dest := filepath.Join(t.TempDir(), "results")
	f := wants("out/*.csv", "my file [*]", "-*", "./tree//", "$(touch pwned)", "~/sky_workdir/out/skip.txt", "x[!2].log", n.Home+"/*/x2.log", ".h*", "conf/main.tf")
	got, err := c.Get(t.Context(), f, dest)
	if err != nil || len(got.Refused) > 0 {
		t.Fatal(got, err)
	}
	want := map[string]string{
		"out/a.csv": "a", "out/b.csv": "b", "out/skip.txt": "-", "my file *": "odd", "-rf": "dash", "tree/deep/x": "x", "tree/link": "-> deep/x", "$(touch pwned)": "8",
		"x1.log": "1", "x2.log": "2", "x3.log": "3", ".hidden": "h", "conf/main.tf": "mine",
	}
	same(t, read(t, dest), want)
	if len(got.Files) != len(want) || !slices.Contains(got.Files, "out/a.csv") {
		t.Errorf("Get = %q", got.Files)
	}
	for pattern, says := range map[string]string{"none/*": "nothing matches none/*", "": "not a pattern", "../at home": "holds \"..\""} {
		if _, err := c.Get(t.Context(), wants(pattern), dest); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("Get(%q) = %v, want %q", pattern, err, says)
		}
	}
	f = wants("none", "out/a*")
	if _, err := c.Get(t.Context(), f, dest); !errors.Is(err, remote.ErrNoMatch) {
		t.Errorf("Get of nothing = %v, want ErrNoMatch", err)
	}
	f.Partial = true
	if got, err := c.Get(t.Context(), f, dest); err != nil || !slices.Equal(got.Files, []string{"out/a.csv"}) {
		t.Errorf("Get of what there is = %v, %v", got, err)
	}
	if got, err := c.Get(t.Context(), wants("~/at home"), dest); err != nil || len(got.Files) != 1 || !strings.HasSuffix(got.Files[0], "at home") {
		t.Errorf("Get from home = %q, %v", got, err)
	}
}

// answer is what a node sends that says where it reads, and then this archive.
func answer(t *testing.T, n *remotetest.Node, home string, members []tar.Header, after string) {
	t.Helper()
	var archive bytes.Buffer
	_, _ = fmt.Fprintf(&archive, "%s/sky_workdir\n%s\n", home, home)
	tw := tar.NewWriter(&archive)
	for _, h := range members {
		if h.Typeflag == tar.TypeReg && h.Size == 0 {
			h.Size = 4
		}
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size == 4 {
			_, _ = tw.Write([]byte("evil"))
		}
	}
	if after == "" {
		_ = tw.Close()
	}
	path := filepath.Join(t.TempDir(), "evil")
	if err := os.WriteFile(path, archive.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	n.Set(remotetest.Behaviour{ForcedCommand: `IFS= read -r m; echo "$m 77"; cat ` + path + "; " + after})
}

// TestGetTrustsNobody has the node send what no tar would.
func TestGetTrustsNobody(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	outside := t.TempDir()
	reg := func(names ...string) (all []tar.Header) {
		for _, name := range names {
			all = append(all, tar.Header{Name: name, Typeflag: tar.TypeReg, Format: tar.FormatPAX})
		}
		return all
	}
	link := func(name, target string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}
	}
	for name, tt := range map[string]struct {
		home    string
		members []tar.Header
		want    int // members that are taken
	}{
		"parent":          {members: reg("out/../../escaped", "../escaped", "out/..", "out/../out/x")},
		"absolute":        {members: reg("/etc/passwd", "/out/x")},
		"not asked for":   {members: reg("override.tf", ".git/hooks/pre-commit", "other/x", "outer/x", "x", "exact.tf.json")},
		"asked for":       {members: reg("exact.tf", "logs/1.log"), want: 2},
		"hidden":          {members: reg("logs/.x.log")},
		"dangerous":       {members: reg("out/x/OVERRIDE.TF", "out/x.tf.json", "out/a.auto.tfvars.json", "out/.terraform/x", "out/.terraform.lock.hcl", "out/terraform.tfstate.d/x", "out/.Git/config", "out/.gitmodules", "out/git~1/config", "out/x.tf.", "out/terraform.d/plugins/x", "out/x.tofu", "out/terraform.tfſtate")},
		"home":            {home: "/.git/hooks", members: reg(".git/hooks/mine", ".git/hooks/pre-commit")},
		"controls":        {members: reg("out/\x1b[31mred", "out/a\nb", "out/\u202egnp.exe", "out/\u009b2J", "out/\xff")},
		"case":            {members: reg("out/A", "out/a", "OUT/x", "out/straße", "out/STRAßE"), want: 2},
		"Unicode":         {members: reg("out/é", "out/e\u0301", "out/K", "out/\u212a"), want: 2},
		"link out":        {members: append([]tar.Header{link("out/l", "../..")}, reg("out/l/escaped")...), want: 1}, // below a folder
		"link within":     {members: append([]tar.Header{link("out/l", "y")}, reg("out/l/x")...), want: 1},
		"link to git":     {members: append([]tar.Header{link("out/m", "../.git")}, reg("out/m/hooks/pre-commit")...), want: 1},
		"absolute link":   {members: []tar.Header{link("out/n", outside)}},
		"winding link":    {members: []tar.Header{link("out/y", "../."), link("out/o", "y/../in")}, want: 1},
		"hidden link":     {members: []tar.Header{link("out/b", ".."), link("out/b/p", "../in")}, want: 1},
		"hard link":       {members: []tar.Header{{Name: "out/h", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}}},
		"hard link again": {members: append(reg("out/1"), tar.Header{Name: "out/2", Typeflag: tar.TypeLink, Linkname: "./out/1"}), want: 2},
		"device":          {members: []tar.Header{{Name: "out/d", Typeflag: tar.TypeChar}}},
	} {
		t.Run(name, func(t *testing.T) {
			home := "/home/me"
			if tt.home != "" {
				home = tt.home
			}
			answer(t, n, home, tt.members, "")
			base := t.TempDir()
			dest := filepath.Join(base, "in", "dest")
			got, err := dial(t, n).Get(t.Context(), wants("out/", "exact.tf", "logs/*.log", "~/mine"), dest)
			if err != nil || len(got.Files) != tt.want || len(got.Refused) != len(tt.members)-tt.want {
				t.Errorf("Get = %+v, %v; want %d files", got, err, tt.want)
			}
			if text := fmt.Sprint(got.Refused); strings.ContainsAny(text, "\x1b\u202e\u009b\n") {
				t.Errorf("a refusal holds control characters: %q", text)
			}
			for name := range read(t, base) {
				if !strings.HasPrefix(name, "in/dest/out/") && !strings.HasPrefix(name, "in/dest/logs/") && name != "in/dest/exact.tf" {
					t.Errorf("%s was written", name)
				}
			}
		})
	}
}

// TestGetIsBounded has the node send more than is asked for, and without an end.
func TestGetIsBounded(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	file := tar.Header{Name: "out/x", Typeflag: tar.TypeReg, Size: 1 << 20}
	sparse := tar.Header{Name: "out/sparse", Typeflag: tar.TypeReg, Size: 1, PAXRecords: map[string]string{"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "out/sparse", "GNU.sparse.size": fmt.Sprint(int64(1) << 40), "GNU.sparse.numblocks": "1", "GNU.sparse.map": "0,1"}}
	for name, tt := range map[string]struct {
		members []tar.Header
		after   string
		fetch   remote.Fetch
		says    string
		tooMuch bool
	}{
		"sparse":    {[]tar.Header{sparse}, "exec cat /dev/zero", remote.Fetch{}, "", true},
		"too large": {[]tar.Header{file}, "exec cat /dev/zero", remote.Fetch{MaxBytes: 1 << 19}, "more than 0 MiB", true},
		"too many":  {[]tar.Header{{Name: "out/a/b/c/d", Typeflag: tar.TypeReg}, {Name: "out/a/b/c/e", Typeflag: tar.TypeReg}}, "exec cat /dev/zero", remote.Fetch{MaxFiles: 5}, "more than 5 files", true},
		"endless":   {[]tar.Header{{Name: "out/x", Typeflag: tar.TypeReg}}, "exec cat /dev/zero", remote.Fetch{}, "does not end", false},
		"torn":      {[]tar.Header{file}, "exit 0", remote.Fetch{}, "unexpected EOF", false},
		"nothing":   {nil, "exit 0", remote.Fetch{}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.members == nil {
				n.Set(remotetest.Behaviour{ForcedCommand: `IFS= read -r m; echo "$m 77"; exec cat /dev/zero`})
				tt.says = "does not say where it reads"
			} else if name == "sparse" {
				answerRaw(t, n, tt.members[0], tt.after)
			} else {
				answer(t, n, "/home/me", tt.members, tt.after)
			}
			tt.fetch.Base, tt.fetch.Patterns = "~/sky_workdir", []string{"out"}
			dest := t.TempDir()
			got, err := dial(t, n).Get(t.Context(), tt.fetch, dest)
			if err == nil || errors.Is(err, remote.ErrTooMuch) != tt.tooMuch || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Get = %v, %v", got, err)
			}
		})
	}
}

// answerRaw sends a header with records that the library does not write.
func answerRaw(t *testing.T, n *remotetest.Node, h tar.Header, after string) {
	t.Helper()
	var records, archive bytes.Buffer
	for key, value := range h.PAXRecords {
		size := len(key) + len(value) + 3
		size += len(fmt.Sprint(size))
		if size != len(fmt.Sprintf("%d %s=%s\n", size, key, value)) {
			size++
		}
		_, _ = fmt.Fprintf(&records, "%d %s=%s\n", size, key, value)
	}
	_, _ = archive.WriteString("/home/me/sky_workdir\n/home/me\n")
	for _, part := range []struct {
		kind byte
		name string
		body []byte
	}{{tar.TypeXHeader, "pax", records.Bytes()}, {tar.TypeReg, h.Name, []byte("x")}} {
		var one bytes.Buffer
		tw := tar.NewWriter(&one)
		if err := tw.WriteHeader(&tar.Header{Name: part.name, Typeflag: tar.TypeReg, Size: int64(len(part.body)), Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		block := one.Bytes()
		block[156] = part.kind
		copy(block[148:156], "        ")
		sum := 0
		for _, b := range block[:512] {
			sum += int(b)
		}
		copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
		archive.Write(block[:512])
		archive.Write(part.body)
		archive.Write(make([]byte, (512-len(part.body)%512)%512))
	}
	path := filepath.Join(t.TempDir(), "evil")
	if err := os.WriteFile(path, archive.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	n.Set(remotetest.Behaviour{ForcedCommand: `IFS= read -r m; echo "$m 77"; cat ` + path + "; " + after})
}
