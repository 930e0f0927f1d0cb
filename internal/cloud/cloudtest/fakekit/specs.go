// SPDX-License-Identifier: MPL-2.0

package fakekit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit/openapi"
)

// SpecsEnv names the folder with the clouds' own OpenAPI files, which are not this
// project's to give away.
const SpecsEnv = "SKY_SPECS"

// AuditBySpec is an Options.Audit that holds calls and answers against facts, the part
// of a cloud's OpenAPI file that the project uses; and against the whole file of that
// name too, where SpecsEnv names its folder. Of calls that are answered with one of the
// silent statuses, of which the file says nothing, the request alone is looked at.
func AuditBySpec(t testing.TB, facts []byte, file string, silent ...int) func(Exchange) error {
	t.Helper()
	known, err := openapi.Parse(facts)
	if err != nil {
		t.Fatal(err)
	}
	specs := []*openapi.Spec{known}
	if dir := os.Getenv(SpecsEnv); dir != "" {
		whole, err := openapi.Load(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		specs = append(specs, whole)
	}
	var passed sync.Map // most calls ask again, and get the same answer
	return func(e Exchange) error {
		sent, err := io.ReadAll(e.Request.Body)
		if err != nil {
			return fmt.Errorf("read the request: %w", err)
		}
		call := sha256.Sum256(fmt.Appendf(nil, "%s %s %d %q %q", e.Request.Method, e.Request.URL, e.Status, sent, e.Body))
		if _, ok := passed.Load(call); ok {
			return nil
		}
		for _, s := range specs {
			err = errors.Join(err, s.Check(openapi.Call{
				Method: e.Request.Method, Path: e.Request.URL.Path, Query: e.Request.URL.Query(), Request: sent, Status: e.Status, Answer: e.Body,
				Silent: slices.Contains(silent, e.Status),
			}))
		}
		if err == nil {
			passed.Store(call, true)
		}
		return err
	}
}
