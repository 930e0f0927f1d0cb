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
)

// apiError is an answer that refuses a call.
type apiError struct {
	status  int
	reason  string
	message string
}

func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.reason, e.message) }

func refuse(status int, reason, format string, args ...any) *apiError {
	return &apiError{status: status, reason: reason, message: fmt.Sprintf(format, args...)}
}

func notFound(what string) *apiError {
	return refuse(http.StatusNotFound, "notFound", "The resource '%s' was not found", what)
}

func invalid(format string, args ...any) *apiError {
	return refuse(http.StatusBadRequest, "invalid", "Invalid value for field "+format, args...)
}

// handler does what a method does, under the lock, and returns the answer.
type handler func(*Cloud, checked) (any, *apiError)

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
func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	req, err := c.doc.check(r, body)
	if err != nil {
		c.onError(err)
		reply(w, nil, refuse(http.StatusBadRequest, "badRequest", "%v", err))
		return
	}
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if bearer != Token && bearer != MachineToken {
		reply(w, nil, refuse(http.StatusUnauthorized, "authError", "Request had invalid authentication credentials."))
		return
	}
	if strings.HasSuffix(req.method.ID, "Operations.wait") {
		c.waitForEnd(r.Context(), req)
	}
	out, fault, refusal := c.answer(r, bearer, req)
	if fault != nil && fault.LoseAnswer {
		panic(http.ErrAbortHandler)
	}
	reply(w, out, refusal)
}

func (c *Cloud) waitForEnd(ctx context.Context, req checked) {
	c.mu.Lock()
	op := c.operation(req.path["operation"])
	c.mu.Unlock()
	if op != nil {
		c.waitFor(ctx, op)
	}
}

func (c *Cloud) answer(r *http.Request, bearer string, req checked) (any, *Fault, *apiError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	id := req.method.ID
	c.calls[id]++
	do := handlers()[id]
	if do == nil {
		c.onError(fmt.Errorf("the fake does not know %s", id))
		return nil, nil, refuse(http.StatusNotImplemented, "notImplemented", "%s", id)
	}
	project := req.path["project"]
	if _, shared := images()[project]; project != Project && !shared {
		return nil, nil, refuse(http.StatusNotFound, "notFound", "The resource 'projects/%s' was not found", project)
	}
	fault := c.fault(id, r.URL.Path)
	if fault != nil && fault.Status != 0 && !fault.Late {
		return nil, fault, refuse(fault.Status, fault.Reason, "%s", fault.Message)
	}
	if refusal := c.authorize(bearer, req); refusal != nil {
		return nil, fault, refusal
	}
	before := len(c.operations)
	out, refusal := do(c, req)
	if fault != nil && len(c.operations) > before && refusal == nil {
		c.spoil(c.operations[len(c.operations)-1], fault)
	}
	if bearer == MachineToken && len(c.operations) > before {
		op := c.operations[len(c.operations)-1]
		op.User = Deleter
	}
	if fault != nil && fault.Late && refusal == nil {
		refusal = refuse(fault.Status, fault.Reason, "%s", fault.Message)
	}
	return out, fault, refusal
}

func reply(w http.ResponseWriter, out any, refusal *apiError) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	if refusal == nil {
		_ = json.NewEncoder(w).Encode(out)
		return
	}
	w.WriteHeader(refusal.status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
		"code": refusal.status, "message": refusal.message,
		"errors": []map[string]string{{"message": refusal.message, "domain": "global", "reason": refusal.reason}},
	}})
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
func decode(req checked, into any) *apiError {
	if err := json.Unmarshal(req.body, into); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return refuse(http.StatusBadRequest, "parseError", "%v", err)
		}
		return invalid("'resource': %v", err)
	}
	return nil
}
