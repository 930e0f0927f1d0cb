// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkWalk lists a repository of 10,000 files in 100 folders with 40 rules,
// and more in every tenth folder.
func BenchmarkWalk(b *testing.B) {
	root := b.TempDir()
	rules := "*.log\n*.pyc\n__pycache__/\n/build/\n.venv/\n!keep.log\n" + strings.Repeat("some/deep/**/folder-[a-f]*.tmp\nnode_modules/\n*.o\n", 11)
	for i := range 100 {
		dir := filepath.Join(root, fmt.Sprintf("pkg%d", i/10), fmt.Sprintf("sub%d", i))
		if err := os.MkdirAll(dir, 0o750); err != nil {
			b.Fatal(err)
		}
		for j := range 100 {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file_%d.py", j)), []byte("x"), 0o600); err != nil {
				b.Fatal(err)
			}
		}
		if i%10 == 0 {
			if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*.bak\n/data\n"), 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(root, ".gitignore"), []byte(rules), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		t, err := walkTree(root)
		if err != nil || len(t.entries) < 10_000 {
			b.Fatal(len(t.entries), err)
		}
	}
}
