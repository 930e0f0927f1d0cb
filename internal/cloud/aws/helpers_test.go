// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// isolate keeps the tests from the user's own AWS configuration.
func isolate(t *testing.T) {
	t.Helper()
	empty := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": empty, "AWS_SHARED_CREDENTIALS_FILE": empty, "AWS_PROFILE": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ENDPOINT_URL": "", "AWS_ROLE_ARN": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "", "HOME": t.TempDir(),
	} {
		t.Setenv(name, value)
	}
}

// errorRows are the errors of the table as the SDK returns them, and those that
// are no answer of AWS's.
func errorRows() []cloudtest.ErrorRow {
	var rows []cloudtest.ErrorRow
	for _, r := range faultTable() {
		rows = append(rows, cloudtest.ErrorRow{Name: strings.TrimSpace(r.Code + " " + r.Text), Err: apiError(r.Code, "Some "+r.Text), Want: r.Fault})
	}
	for _, r := range reasonTable() {
		rows = append(rows, cloudtest.ErrorRow{Name: r.Text, Err: &fleet.MachineError{ID: "i-1", Reason: r.Text + ": text"}, Want: r.Fault})
	}
	return append(rows,
		cloudtest.ErrorRow{Name: "no credentials", Err: &fleet.AuthError{Advice: "log in", Err: errors.New("none")}, Want: cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}},
		cloudtest.ErrorRow{Name: "settings", Err: fleet.ConfigErrorf(cloud.ScopeCloud, "wrong"), Want: cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeCloud}},
		cloudtest.ErrorRow{Name: "settings of a region", Err: fleet.ConfigErrorf(cloud.ScopeRegion, "wrong"), Want: cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}},
		cloudtest.ErrorRow{Name: "expired login", Err: &smithy.OperationError{Err: errors.New("get identity: get credentials: token expired")}, Want: cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}},
		cloudtest.ErrorRow{Name: "cut connection", Err: fmt.Errorf("read: %w", io.ErrUnexpectedEOF), Want: cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}},
	)
}

func apiError(code, message string) error {
	return &smithy.OperationError{ServiceID: "EC2", OperationName: "RunInstances", Err: &smithy.GenericAPIError{Code: code, Message: message}}
}

// bootHook returns the dead-man part of user data, "" where there is none.
func bootHook(encoded string) (string, error) {
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", err
	}
	parts, err := dataParts(data)
	if err != nil {
		return "", err
	}
	return parts["text/cloud-boothook"], nil
}

// dataParts reads user data as cloud-init does: parts by content type.
func dataParts(data []byte) (map[string]string, error) {
	if !bytes.HasPrefix(data, []byte("Content-Type: multipart/mixed")) {
		return map[string]string{}, nil
	}
	message, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	_, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	parts := map[string]string{}
	reader := multipart.NewReader(message.Body, params["boundary"])
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil {
			return nil, err
		}
		parts[kind] = string(text)
	}
}

// deadManVerdict runs the timer of a machine, at a time, against a metadata
// service that shows these tags, and reports whether it shut the machine down.
// A timer that only waits is ended after it has looked a few times.
func deadManVerdict(ctx context.Context, t *testing.T, encoded string, at time.Time, tags func() (map[string]string, bool)) (bool, error) {
	t.Helper()
	hook, err := bootHook(encoded)
	if err != nil || hook == "" {
		return false, err
	}
	service := httptest.NewServer(metadataService(tags))
	defer service.Close()
	dir := t.TempDir()
	hook = strings.ReplaceAll(hook, "http://169.254.169.254", service.URL)
	hook = strings.ReplaceAll(hook, "/run/sky", dir)
	tools := map[string]string{
		"date":        "#!/bin/sh\necho " + strconv.FormatInt(at.Add(time.Second).Unix(), 10) + "\n",
		"sleep":       "#!/bin/sh\necho x >>" + dir + "/sleeps\n[ $(wc -l <" + dir + "/sleeps) -lt 4 ] || kill $PPID\n",
		"shutdown":    "#!/bin/sh\necho \"$@\" >" + dir + "/shutdown\nkill $PPID\n",
		"systemd-run": "#!/bin/sh\nwhile [ \"$1\" != /bin/sh ]; do shift; done\n\"$@\"\nexit 0\n",
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		return false, err
	}
	for name, text := range tools {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o700); err != nil { //nolint:gosec // a tool has to be executable
			return false, err
		}
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", hook)
	cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "no_proxy=127.0.0.1"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return false, fmt.Errorf("the dead-man hook: %w: %s", err, out)
	}
	_, err = os.Stat(filepath.Join(dir, "shutdown"))
	return err == nil, nil
}

var tokenTTL = regexp.MustCompile(`^[1-9][0-9]*$`)

// metadataService is IMDSv2 as far as the timer needs it.
func metadataService(tags func() (map[string]string, bool)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, r *http.Request) {
		if !tokenTTL.MatchString(r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds")) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, "session")
	})
	mux.HandleFunc("GET /latest/meta-data/tags/instance/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-aws-ec2-metadata-token") != "session" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		shown, ok := tags()
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		var keys []string
		for k := range shown {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		_, _ = io.WriteString(w, strings.Join(keys, "\n"))
	})
	return mux
}

// found are the resources of a run configuration.
func found(cfg cloud.RunConfig) resources {
	res, _ := cfg.Resources.(resources) // zero where Bootstrap failed
	return res
}

// subnetsOf are its subnets, as "id@zone".
func subnetsOf(cfg cloud.RunConfig) string {
	var texts []string
	for _, p := range found(cfg).places {
		texts = append(texts, p.ID+"@"+p.Zone)
	}
	return strings.Join(texts, ",")
}
