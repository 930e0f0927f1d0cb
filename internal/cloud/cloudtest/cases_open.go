// SPDX-License-Identifier: MPL-2.0

package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

func openCases() []Case {
	return []Case{
		{Name: "factory/describes itself", run: describesItself},
		{Name: "factory/one account", run: oneAccount},
		{Name: "factory/refuses bad credentials", run: badCredentials},
		{Name: "classify/table", run: classifyTable},
		{Name: "classify/anything", run: classifyAnything},
	}
}

func describesItself(_ context.Context, w *world) error {
	f := w.h.Factory()
	if f.Name() == "" || f.Name() != cloud.Slug(f.Name()) {
		return fmt.Errorf("the name %q is not in lower-case letters, digits and dashes", f.Name())
	}
	c := f.Capabilities()
	switch {
	case c.StopSpot && (!c.Stop || !c.Spot):
		return errors.New("StopSpot without Stop and Spot")
	case c.MaxNameLength < 0 || (c.MaxNameLength > 0 && c.MaxNameLength < 20):
		return fmt.Errorf("MaxNameLength %d leaves no room for an identity", c.MaxNameLength)
	}
	for _, o := range f.Options() {
		if o.Name == "" || strings.ToLower(o.Name) != o.Name || !strings.HasSuffix(o.Description, ".") {
			return fmt.Errorf("option %q: the name must be lower-case and the description a sentence", o.Name)
		}
	}
	return nil
}

func oneAccount(ctx context.Context, w *world) error {
	if w.Account == "" {
		return errors.New("the session names no account")
	}
	again, err := w.h.Factory().Open(ctx, w.h.Credentials())
	if err != nil {
		return fmt.Errorf("Open again: %w", err)
	}
	if again.Account != w.Account {
		return fmt.Errorf("the same credentials gave accounts %q and %q", w.Account, again.Account)
	}
	return nil
}

func badCredentials(ctx context.Context, w *world) error {
	impostor, err := hook[Impostor](w)
	if err != nil {
		return err
	}
	creds := impostor.BadCredentials()
	_, err = w.h.Factory().Open(ctx, creds)
	if err == nil {
		return errors.New("Open accepts credentials that the cloud refuses")
	}
	if got := w.Classify(err).Kind; got != cloud.KindAuth {
		return fmt.Errorf("refused credentials are classified as %q, want %q: %w", got, cloud.KindAuth, err)
	}
	for _, o := range w.h.Factory().Options() {
		if v := creds.Values[o.Name]; o.Sensitive && v != "" && strings.Contains(err.Error(), v) {
			return fmt.Errorf("the error quotes the sensitive option %s", o.Name)
		}
	}
	return nil
}

func valid(f cloud.Fault) bool {
	kinds := []cloud.Kind{
		cloud.KindCapacity, cloud.KindQuota, cloud.KindAuth,
		cloud.KindConfig, cloud.KindTransient, cloud.KindUnknown,
	}
	scopes := []cloud.Scope{cloud.ScopeZone, cloud.ScopeRegion, cloud.ScopeCloud}
	return slices.Contains(kinds, f.Kind) && slices.Contains(scopes, f.Scope)
}

func classifyTable(_ context.Context, w *world) error {
	rows := w.h.Errors()
	if len(rows) == 0 {
		return errors.New("the error table is empty")
	}
	seen := map[cloud.Kind]bool{}
	for _, row := range rows {
		seen[row.Want.Kind] = true
		wrapped := &cloud.Error{Op: "launch", Err: fmt.Errorf("doing something: %w", row.Err)}
		for form, err := range map[string]error{
			"bare": row.Err, "wrapped": wrapped, "joined": errors.Join(row.Err, errors.New("and more")),
		} {
			got := w.Classify(err)
			if !valid(got) || got != row.Want {
				return fmt.Errorf("%s (%s): Classify(%v) = %s, want %s", row.Name, form, err, got, row.Want)
			}
		}
	}
	for _, k := range []cloud.Kind{cloud.KindCapacity, cloud.KindQuota, cloud.KindAuth, cloud.KindConfig, cloud.KindTransient} {
		if !seen[k] {
			return fmt.Errorf("the error table has no row for %q", k)
		}
	}
	return nil
}

func classifyAnything(_ context.Context, w *world) error {
	for _, err := range []error{
		nil, errors.New("gremlins"), context.Canceled, context.DeadlineExceeded,
		cloud.ErrNotFound, cloud.ErrSpent, &cloud.ExtraNodesError{}, &cloud.Error{Err: errors.New("deep gremlins")},
	} {
		if got := w.Classify(err); !valid(got) {
			return fmt.Errorf("Classify(%v) = %+v, which is not a valid fault", err, got)
		}
	}
	if got := w.Classify(errors.New("gremlins")).Kind; got != cloud.KindUnknown {
		return fmt.Errorf("an error that no table knows is classified as %q, want %q", got, cloud.KindUnknown)
	}
	return nil
}
