// SPDX-License-Identifier: MPL-2.0

package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"github.com/skybroker/terraform-provider-sky/catalogs"
)

// What about.json says of types and regions is in the snapshots, which are made anew
// only where formatVersion is raised.
func TestSnapshotsFollowAbout(t *testing.T) {
	const format, known = 4, "3bd4e14a76ced23d"
	files, err := fs.Glob(catalogs.FS, "*/about.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	slices.Sort(files)
	sum := sha256.New()
	for _, f := range files {
		text, err := fs.ReadFile(catalogs.FS, f)
		if err != nil {
			t.Fatal(err)
		}
		var part struct{ Types, Regions json.RawMessage }
		if err := json.Unmarshal(text, &part); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(sum, "%s %s %s\n", f, part.Types, part.Regions)
	}
	if got := hex.EncodeToString(sum.Sum(nil))[:16]; got != known {
		t.Errorf("types or regions of an about.json changed (%s): raise formatVersion in layout.go above %d, and write both here", got, format)
	}
	if formatVersion != format {
		t.Errorf("formatVersion is %d, and this test knows %d: write it here, with what the about.json say now", formatVersion, format)
	}
}
