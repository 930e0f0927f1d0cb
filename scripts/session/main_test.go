// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

const transcript = `Terraform 1.14.0 at /somewhere/terraform; scratch folder /tmp/x

==> plan
 fluffycloud/meadow-1/meadow-1a  <2>xdrizzle-t4-1
Plan: 2 to add, 0 to change, 0 to destroy.
==> apply
 fluffycloud/meadow-1/meadow-1a  <2>xdrizzle-t4-1
sky_job.twins: Creation complete after 1s [id=7e510181e28260d7f87e04a8]
`

// TestSession keeps what matters, once, and nothing of the computer it ran on.
func TestSession(t *testing.T) {
	var out bytes.Buffer
	if err := run(strings.NewReader(transcript+"quickstart is complete:\n"), &out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	d := xml.NewDecoder(&out)
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for want, count := range map[string]int{"$ make quickstart": 1, "&lt;2&gt;xdrizzle": 1, "==&gt; apply": 1, "after 1s<": 1, "/tmp": 0, "somewhere": 0, "7e51": 0} {
		if got := strings.Count(text, want); got != count {
			t.Errorf("%q is there %d times, want %d:\n%s", want, got, count, text)
		}
	}
}

// TestSessionOfARunThatFailed is none.
func TestSessionOfARunThatFailed(t *testing.T) {
	if err := run(strings.NewReader(transcript), io.Discard); err == nil {
		t.Error("a run that was cut off was drawn")
	}
}
