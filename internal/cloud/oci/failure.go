// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"context"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/workrequests"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// failure is why the launch of a machine failed that was answered well: a lack of
// room may show only in the work request behind it. What cannot be asked is not known.
func (d *driver) failure(ctx context.Context, region string, m machine) string {
	if why, ok := d.reasons.Load(m.ID); ok {
		text, _ := why.(string)
		return text
	}
	all, err := pages(ctx, d.c, "work requests of "+m.ID, region, func(ctx context.Context, r *regional, page *string) ([]workrequests.WorkRequestSummary, *string, error) {
		out, err := r.work.ListWorkRequests(ctx, workrequests.ListWorkRequestsRequest{CompartmentId: &m.Native.compartment, ResourceId: &m.ID, Page: page})
		return out.Items, out.OpcNextPage, err //nolint:wrapcheck // pages does
	})
	var texts []string
	for _, w := range all {
		if w.Status != workrequests.WorkRequestSummaryStatusFailed {
			continue
		}
		errors, failed := pages(ctx, d.c, "errors of work request "+value(w.Id), region, func(ctx context.Context, r *regional, page *string) ([]workrequests.WorkRequestError, *string, error) {
			out, err := r.work.ListWorkRequestErrors(ctx, workrequests.ListWorkRequestErrorsRequest{WorkRequestId: w.Id, Page: page})
			return out.Items, out.OpcNextPage, err //nolint:wrapcheck // pages does
		})
		if failed != nil {
			err = failed
		}
		for _, e := range errors {
			texts = append(texts, strings.TrimSpace(value(e.Code)+": "+value(e.Message)))
		}
	}
	text := strings.Join(texts, "; ")
	if err == nil && m.State == cloud.StateTerminated {
		d.reasons.Store(m.ID, text)
	}
	return text
}
