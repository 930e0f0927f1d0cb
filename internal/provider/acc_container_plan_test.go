// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

// TestAccImagesRefused has images and logins of containers that a plan refuses.
func TestAccImagesRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var steps []resource.TestStep
	for _, tt := range []struct {
		body string
		want []string
	}{
		{"runtime = \"ray\"\n resources = { image_id = \"docker:ubuntu\" }", []string{`runtime = "ray" runs jobs beside the container`}},
		{`resources = { image_id = "docker:" }`, []string{"names no container's image", "docker:nvcr.io/nvidia/pytorch"}},
		{`resources = { image_id = "docker:` + strings.Repeat("a", 240) + `" }`, []string{"has 258 characters with its registry, and may have 250"}},
		{`resources = { image_id = "docker:Up/per case" }`, []string{"names no container's image"}},
		{"resources = { cpus = \"2\" }\n image_auth = { username = \"u\", password = \"p\" }", nil},
	} {
		want := rewrapped(tt.want...)
		if tt.want == nil { // an older CLI refuses the attribute itself
			want = regexp.MustCompile(`(No image to log in for|WriteOnly Attribute Not Allowed)`)
		}
		steps = append(steps, resource.TestStep{
			Config: l.config("resource \"sky_cluster\" \"c\" {\n name = \"images\"\n " + tt.body + "\n}\n"), PlanOnly: true, ExpectError: want,
		})
	}
	l.test(steps...)
}
