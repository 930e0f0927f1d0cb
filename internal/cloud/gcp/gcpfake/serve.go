// SPDX-License-Identifier: MPL-2.0

package gcpfake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

func refuse(status int, reason, format string, args ...any) error {
	return fakekit.Refusef(status, reason, format, args...)
}

func notFound(what string) error {
	return refuse(http.StatusNotFound, "notFound", "The resource '%s' was not found", what)
}

func invalid(format string, args ...any) error {
	return refuse(http.StatusBadRequest, "invalid", "Invalid value for field "+format, args...)
}

// handler does what a method does, under the lock, and returns the answer.
type handler func(*Cloud, checked) (any, error)

// handlers are the methods that the fake knows.
func handlers() map[string]handler {
	return map[string]handler{
		"compute.projects.get":             (*Cloud).getProject,
		"compute.instances.insert":         (*Cloud).insertInstance,
		"compute.instances.get":            (*Cloud).getInstance,
		"compute.instances.list":           (*Cloud).listInstances,
		"compute.instances.aggregatedList": (*Cloud).aggregatedInstances,
		"compute.instances.delete":         (*Cloud).deleteInstance,
		"compute.instances.stop":           (*Cloud).stopInstance,
		"compute.instances.start":          (*Cloud).startInstance,
		"compute.instances.resume":         (*Cloud).resumeInstance,
		"compute.instances.setMetadata":    (*Cloud).setMetadata,
		"compute.instances.setLabels":      (*Cloud).setLabels,
		"compute.instances.setScheduling":  (*Cloud).setScheduling,
		"compute.disks.get":                (*Cloud).getDisk,
		"compute.disks.list":               (*Cloud).listDisks,
		"compute.disks.aggregatedList":     (*Cloud).aggregatedDisks,
		"compute.disks.delete":             (*Cloud).deleteDisk,
		"compute.disks.setLabels":          (*Cloud).setDiskLabels,
		"compute.firewalls.insert":         (*Cloud).insertFirewall,
		"compute.firewalls.get":            (*Cloud).getFirewall,
		"compute.firewalls.list":           (*Cloud).listFirewalls,
		"compute.firewalls.patch":          (*Cloud).patchFirewall,
		"compute.firewalls.delete":         (*Cloud).deleteFirewall,
		"compute.images.get":               (*Cloud).getImage,
		"compute.images.getFromFamily":     (*Cloud).getImage,
		"compute.networks.get":             (*Cloud).getNetwork,
		"compute.subnetworks.get":          (*Cloud).getSubnetwork,
		"compute.zoneOperations.get":       (*Cloud).getOperation,
		"compute.zoneOperations.wait":      (*Cloud).getOperation,
		"compute.zoneOperations.list":      (*Cloud).listOperations,
		"compute.globalOperations.get":     (*Cloud).getOperation,
		"compute.globalOperations.wait":    (*Cloud).getOperation,
	}
}

// serve answers one call.
func (c *Cloud) serve(w http.ResponseWriter, call *fakekit.Call) {
	req, err := c.doc.check(call)
	do := handlers()[call.Name]
	if err == nil && do == nil {
		err = fmt.Errorf("the fake does not know %s", call.Name)
	}
	if err != nil {
		c.Violation(err)
		c.Refuse(w, fakekit.Refusef(http.StatusBadRequest, "badRequest", "%v", err))
		return
	}
	if strings.HasSuffix(call.Name, "Operations.wait") {
		c.waitForEnd(call.Context(), req)
	}
	c.Do(w, call, func(call *fakekit.Call) (any, error) {
		c.begun = nil
		project := req.path["project"]
		if _, shared := images()[project]; project != Project && !shared {
			return nil, notFound("projects/" + project)
		}
		if refusal := c.authorize(call.Who, req); refusal != nil {
			return nil, refusal
		}
		out, refusal := do(c, req)
		if c.begun != nil && call.Who == MachineToken {
			c.begun.User = Deleter
		}
		return out, refusal
	})
}

func (c *Cloud) waitForEnd(ctx context.Context, req checked) {
	c.Lock()
	op := c.operation(req.path["operation"])
	c.Unlock()
	if op != nil {
		c.waitFor(ctx, op)
	}
}

// shape is how Google refuses.
func shape(r fakekit.Refusal) any {
	if r.Status == http.StatusUnauthorized {
		r.Code = "authError"
	}
	return map[string]any{"error": map[string]any{
		"code": r.Status, "message": r.Message,
		"errors": []map[string]string{{"message": r.Message, "domain": "global", "reason": r.Code}},
	}}
}

// token gives a token for a service account's signed statement, for the
// refresh token of a login, or for another provider's token.
func (c *Cloud) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	var good bool
	switch r.Form.Get("grant_type") {
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		good = len(strings.Split(r.Form.Get("assertion"), ".")) == 3
	case "refresh_token":
		good = r.Form.Get("refresh_token") == RefreshToken
	case "urn:ietf:params:oauth:grant-type:token-exchange":
		good = r.Form.Get("subject_token") == RefreshToken
	}
	if !good {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": Token, "token_type": "Bearer", "expires_in": 3600, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
	})
}

// metadata is the metadata server of a machine that runs the provider.
func (c *Cloud) metadata(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Metadata-Flavor", "Google")
	answer, ok := map[string]string{
		"instance/service-accounts/default/token": `{"access_token":"` + Token + `","expires_in":3599,"token_type":"Bearer"}`,
		"instance/service-accounts/default/email": "ci@acme-weather.iam.gserviceaccount.com",
		"project/project-id":                      Project,
	}[r.PathValue("path")]
	if !ok || r.Header.Get("Metadata-Flavor") != "Google" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = io.WriteString(w, answer)
}

// impersonate gives a token of another account to who shows one that may.
func (c *Cloud) impersonate(w http.ResponseWriter, r *http.Request) {
	who, verb, _ := strings.Cut(r.PathValue("who"), ":")
	if verb != "generateAccessToken" || who != Deleter || r.Header.Get("Authorization") != "Bearer "+Token {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"error":{"code":403,"status":"PERMISSION_DENIED","message":"Permission 'iam.serviceAccounts.getAccessToken' denied"}}`)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"accessToken": Token, "expireTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
}

// decode reads a body that was checked.
func decode(req checked, into any) error {
	if err := json.Unmarshal(req.body, into); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return refuse(http.StatusBadRequest, "parseError", "%v", err)
		}
		return invalid("'resource': %v", err)
	}
	return nil
}
