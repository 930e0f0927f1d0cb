// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the dead-man timer
	"encoding/hex"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

//go:embed deadman.sh
var deadManScript string

// userData puts the dead-man timer beside the node's own user data. Equal
// arguments give equal bytes, since a launch must be repeated as it was. A zero
// deadline arms nothing.
func userData(own []byte, deadline time.Time) ([]byte, error) {
	out := own
	if !deadline.IsZero() {
		script := strings.ReplaceAll(deadManScript, "@DEADLINE@", strconv.FormatInt(deadline.Unix(), 10))
		var err error
		if out, err = multipartData(own, []byte(script)); err != nil {
			return nil, fmt.Errorf("user data: %w", err)
		}
	}
	if len(out) > maxUserData {
		return nil, fleet.ConfigErrorf(cloud.ScopeCloud, "the user data has %d bytes, %d of them the launch's own; AWS takes %d: move work from the cluster "+
			"template's user_data to setup, which has no limit", len(out), len(out)-len(own), maxUserData)
	}
	return out, nil
}

func multipartData(own, hook []byte) ([]byte, error) {
	sum := sha256.Sum256(append(bytes.Clone(own), hook...))
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	if err := w.SetBoundary("sky-" + hex.EncodeToString(sum[:12])); err != nil {
		return nil, err
	}
	parts := []struct {
		kind string
		data []byte
	}{{"text/cloud-boothook", hook}, {contentType(own), own}}
	for _, p := range parts {
		if len(p.data) == 0 {
			continue
		}
		part, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {p.kind}, "Mime-Version": {"1.0"}})
		if err != nil {
			return nil, err
		}
		if _, err := part.Write(p.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	head := fmt.Sprintf("Content-Type: multipart/mixed; boundary=%q\nMIME-Version: 1.0\n\n", w.Boundary())
	return append([]byte(head), body.Bytes()...), nil
}

// contentType says what a part is, in cloud-init's words.
func contentType(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("#cloud-config")):
		return `text/cloud-config; charset="utf-8"`
	case bytes.HasPrefix(data, []byte("#!")):
		return `text/x-shellscript; charset="utf-8"`
	default:
		return `text/plain; charset="utf-8"` // cloud-init looks inside
	}
}
