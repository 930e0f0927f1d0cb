// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"strconv"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// shape is what Oracle calls an instance type, with its size where that is chosen.
type shape struct {
	name string
	// ocpus and memoryGiB are zero for shapes of one size.
	ocpus, memoryGiB float32
}

// sizeMark comes between the name of a flexible shape and its size, in catalogs:
// VM.Standard.E4.Flex$_4_32 has four OCPUs and 32 GiB.
const sizeMark = "$_"

// shapeOf rebuilds a shape from a catalog's name.
func shapeOf(name string) (shape, error) {
	base, size, sized := strings.Cut(name, sizeMark)
	s := shape{name: base}
	if !sized {
		if strings.HasSuffix(base, ".Flex") {
			return s, fleet.ConfigErrorf(cloud.ScopeRegion, "instance type %q is a shape of any size: say which, as in %s$_2_16 for 2 OCPUs and 16 GiB", name, base)
		}
		return s, nil
	}
	cpus, memory, _ := strings.Cut(size, "_")
	n, errN := strconv.ParseFloat(cpus, 32)
	m, errM := strconv.ParseFloat(memory, 32)
	if base == "" || errN != nil || errM != nil || n <= 0 || m <= 0 {
		return s, fleet.ConfigErrorf(cloud.ScopeRegion, "instance type %q is not a shape and its size, such as VM.Standard.E4.Flex$_2_16 for 2 OCPUs and 16 GiB", name)
	}
	s.ocpus, s.memoryGiB = float32(n), float32(m)
	return s, nil
}

// typeOf is how catalogs call a shape of that size.
func typeOf(name string, ocpus, memoryGiB float32) string {
	if !strings.HasSuffix(name, ".Flex") || ocpus == 0 {
		return name
	}
	number := func(n float32) string { return strconv.FormatFloat(float64(n), 'f', -1, 32) }
	return name + sizeMark + number(ocpus) + "_" + number(memoryGiB)
}
