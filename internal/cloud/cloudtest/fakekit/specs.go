// SPDX-License-Identifier: MPL-2.0

package fakekit

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit/openapi"
)

// SpecsEnv names the folder with the clouds' own OpenAPI files, which are not this
// project's to give away.
const SpecsEnv = "SKY_SPECS"

// AuditBySpec is an Options.Audit that holds calls and answers against the OpenAPI
// file of that name in the folder that SpecsEnv names; nil where it names none. Of
// calls that are answered with one of the silent statuses, of which the file says
// nothing, the request alone is looked at.
func AuditBySpec(t testing.TB, file string, silent ...int) func(Exchange) error {
	t.Helper()
	dir := os.Getenv(SpecsEnv)
	if dir == "" {
		return nil
	}
	spec, err := openapi.Load(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return func(e Exchange) error {
		sent, err := io.ReadAll(e.Request.Body)
		if err != nil {
			return fmt.Errorf("read the request: %w", err)
		}
		return spec.Check(openapi.Call{
			Method: e.Request.Method, Path: e.Request.URL.Path, Query: e.Request.URL.Query(), Request: sent, Status: e.Status, Answer: e.Body,
			Silent: slices.Contains(silent, e.Status),
		})
	}
}
