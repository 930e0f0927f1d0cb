// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/rest"
)

type (
	// REST is what a driver needs that has no SDK; see package rest.
	REST = rest.Client
	// APIError is an answer of such an API that says no.
	APIError = rest.Error
	// Pace lets calls pass at a rate.
	Pace = rest.Pace
)

// ReadAPIError is Table.Read for drivers on a REST.
func ReadAPIError(err error) []Answer {
	var e *APIError
	if !errors.As(err, &e) {
		return nil
	}
	return []Answer{{Code: e.Code, Message: e.Message, Status: e.Status}}
}

// KeyAccount names an account by its API key, where nothing else does. It tells
// nothing of the key.
func KeyAccount(key string) string {
	sum := sha256.Sum256([]byte("terraform-provider-sky account\x00" + key))
	return "key-" + hex.EncodeToString(sum[:8])
}
