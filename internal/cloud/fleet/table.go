// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/rest"
)

// Row gives the meaning of an error, or of the reason for a machine's end. Empty
// fields match anything.
type Row struct {
	// Code is the cloud's word; a star at its begin or end stands for anything.
	Code string
	// Status is the HTTP status.
	Status int
	// Text is part of the lower-case message.
	Text  string
	Fault cloud.Fault
	// Wait says that repeating the call helps only after something else has
	// happened, which the driver waits for.
	Wait bool
}

// Rows makes rows of one meaning from codes.
func Rows(kind cloud.Kind, scope cloud.Scope, codes ...string) []Row {
	rows := make([]Row, 0, len(codes))
	for _, c := range codes {
		rows = append(rows, Row{Code: c, Fault: cloud.Fault{Kind: kind, Scope: scope}})
	}
	return rows
}

// TextRows makes rows of codes that have one meaning where the message holds a text.
func TextRows(kind cloud.Kind, scope cloud.Scope, text string, codes ...string) []Row {
	rows := Rows(kind, scope, codes...)
	for i := range rows {
		rows[i].Text = text
	}
	return rows
}

// Answer is what a cloud's error says: a code and a message, the HTTP status.
type Answer struct {
	Code, Message string
	Status        int
}

func (r Row) matches(a Answer) bool {
	code := r.Code == "" || r.Code == a.Code ||
		(strings.HasPrefix(r.Code, "*") && strings.HasSuffix(a.Code, r.Code[1:])) ||
		(strings.HasSuffix(r.Code, "*") && strings.HasPrefix(a.Code, r.Code[:len(r.Code)-1]))
	return code && (r.Status == 0 || r.Status == a.Status) && strings.Contains(strings.ToLower(a.Message), r.Text)
}

// Table says what the errors of a cloud mean. It is read top down: the first row
// that any answer of the error matches counts.
type Table struct {
	Rows []Row
	// Reasons give the meaning of a machine's end by its reason. Only Text is read.
	Reasons []Row
	// Read takes the cloud's own error apart, the most telling answer first. None
	// is an error that is no answer.
	Read func(error) []Answer
	// Unreachable is how far it reaches that no connection can be made.
	Unreachable cloud.Scope
}

// statusRows are what statuses mean that the rows of a table say nothing of.
func statusRows() []Row {
	auth, passes := cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}, cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}
	return []Row{
		{Status: http.StatusUnauthorized, Fault: auth},
		{Status: http.StatusForbidden, Fault: auth},
		{Status: http.StatusRequestTimeout, Fault: passes},
		{Status: http.StatusTooManyRequests, Fault: passes},
	}
}

// Row returns the first row that an answer of the error matches.
func (t Table) Row(err error) (Row, bool) {
	answers := t.Read(err)
	for _, rows := range [][]Row{t.Rows, statusRows()} {
		for _, row := range rows {
			if slices.ContainsFunc(answers, row.matches) {
				return row, true
			}
		}
	}
	return Row{}, false
}

// HasCode reports whether the cloud's error has one of the codes.
func (t Table) HasCode(err error, codes ...string) bool {
	return slices.ContainsFunc(t.Read(err), func(a Answer) bool { return slices.Contains(codes, a.Code) })
}

// Classify says what an error means. An error with a method Fault says it itself.
func (t Table) Classify(err error) cloud.Fault {
	var (
		faulty  interface{ Fault() cloud.Fault }
		machine *MachineError
		unknown = cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
		passes  = cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}
	)
	if errors.As(err, &faulty) {
		return faulty.Fault()
	}
	if errors.As(err, &machine) {
		return t.reason(machine.Reason, unknown)
	}
	if answers := t.Read(err); len(answers) > 0 {
		row, ok := t.Row(err)
		switch {
		case ok:
			return row.Fault
		case slices.ContainsFunc(answers, func(a Answer) bool { return a.Status >= http.StatusInternalServerError }):
			return passes
		}
		return unknown
	}
	switch {
	case IsUnreachable(err):
		return cloud.Fault{Kind: cloud.KindTransient, Scope: t.Unreachable}
	case rest.IsTransport(err):
		return passes
	}
	return unknown
}

func (t Table) reason(reason string, otherwise cloud.Fault) cloud.Fault {
	reason = strings.ToLower(reason)
	for _, row := range t.Reasons {
		if strings.Contains(reason, row.Text) {
			return row.Fault
		}
	}
	return otherwise
}
