// SPDX-License-Identifier: MPL-2.0

package remote

import "errors"

// UploadError is an upload that failed by its own nature: what was to travel
// cannot be read here, or the node answered and refused to take it, as with a
// path that its user may not write to, a full disk, or a target that would lock
// us out. The same upload fails again, on another machine too. A connection
// that was lost on the way is never one.
type UploadError struct {
	// Local says that the fault is on this computer; no node was to blame.
	Local bool
	Err   error
}

func (e *UploadError) Error() string { return e.Err.Error() }

// Unwrap gives what went wrong, an *ExitError where the node said it.
func (e *UploadError) Unwrap() error { return e.Err }

// tornCode is how our scripts end where the stream did before its time, which
// says nothing of what was sent.
const tornCode = 99

// said turns what a script of an upload ended with into an error: nil, an
// *UploadError where the script itself refused, or else what the way there did.
func said(err error) error {
	exit := (*ExitError)(nil)
	if !errors.As(err, &exit) || exit.Code == tornCode || exit.Code > 128 { // a signal ended it, not its own word
		return err
	}
	return &UploadError{Err: err}
}

// locally is an error of this computer's files.
func locally(err error) error {
	if err == nil {
		return nil
	}
	return &UploadError{Local: true, Err: err}
}
