// SPDX-License-Identifier: MPL-2.0

package script

import (
	"fmt"
	"maps"
	"slices"
)

const (
	// maxVar is what Linux gives a program of one variable at most, "NAME=value"
	// with the byte that ends it.
	maxVar = 128 << 10
	// maxVars is what we let all variables have. Linux has 2 MiB for them, the
	// arguments and what the machine itself sets.
	maxVars = 1 << 20
	// perVar is what each takes besides: a pointer and the characters around.
	perVar = 10
)

// VarError says that no program can be started with a variable. Name is empty
// where it is all of them together.
type VarError struct {
	Name string
	Size int
}

func (e *VarError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("the variables have %d bytes together, and %d is the most that is sure to reach a program; put the large ones into files, of workdir or file_mounts", e.Size, maxVars)
	}
	return fmt.Sprintf("the variable %s has %d bytes, and no program can be started with one of more than %d; put it into a file, of workdir or file_mounts", e.Name, e.Size, maxVar)
}

// CheckVars returns a *VarError where no program can be started with the
// variables of all the maps.
func CheckVars(all ...map[string]string) error {
	sum := 0
	for _, vars := range all {
		for _, name := range slices.Sorted(maps.Keys(vars)) {
			size := len(name) + len(vars[name]) + len("=\x00")
			if size > maxVar {
				return &VarError{name, size}
			}
			sum += size + perVar
		}
	}
	if sum > maxVars {
		return &VarError{Size: sum}
	}
	return nil
}
