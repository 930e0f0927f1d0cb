// SPDX-License-Identifier: MPL-2.0

//go:build !unix

package guest

import (
	"context"
	"errors"
	"io"
)

var errUnsupported = errors.New("FluffyCloud machines are not supported on this system; use Linux or macOS")

// Run reports that machines cannot run here.
func Run(context.Context, string) error { return errUnsupported }

// Self reports that this is no machine.
func Self(context.Context, string, func(string) string, io.Writer) error { return errUnsupported }
