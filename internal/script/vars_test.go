// SPDX-License-Identifier: MPL-2.0

package script_test

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/script"
)

// TestCheckVars is the limit of this machine, one byte below and above it.
func TestCheckVars(t *testing.T) {
	large := func(size int) map[string]string {
		return map[string]string{"LARGE": strings.Repeat("x", size-len("LARGE=")-1)}
	}
	many := map[string]string{}
	for i := range 9 {
		many[fmt.Sprint("V", i)] = strings.Repeat("x", 120<<10)
	}
	for _, tt := range []struct {
		name   string
		vars   []map[string]string
		blames string // "all" is none in particular
	}{
		{"none", nil, "nothing"},
		{"as large as can be", []map[string]string{large(128 << 10)}, "nothing"},
		{"a byte more", []map[string]string{nil, large(128<<10 + 1)}, "LARGE"},
		{"too many", []map[string]string{many}, "all"},
		{"too many in two", []map[string]string{{"A": strings.Repeat("x", 100<<10)}, many}, "all"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := script.CheckVars(tt.vars...)
			blames := "nothing"
			if e := (*script.VarError)(nil); errors.As(err, &e) {
				if blames = e.Name; blames == "" {
					blames = "all"
				}
			}
			if blames != tt.blames {
				t.Errorf("blames %s, want %s: %v", blames, tt.blames, err)
			}
			if tt.blames == "all" { // a bound of ours
				return
			}
			cmd := exec.CommandContext(t.Context(), "/bin/true")
			cmd.Env = []string{}
			for _, vars := range tt.vars {
				for k, v := range vars {
					cmd.Env = append(cmd.Env, k+"="+v)
				}
			}
			if ran := cmd.Run(); (ran == nil) != (err == nil) {
				t.Errorf("the system says %v", ran)
			}
		})
	}
}
