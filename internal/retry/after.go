// SPDX-License-Identifier: MPL-2.0

package retry

import (
	"net/http"
	"strconv"
	"time"
)

// After reads the header Retry-After, seconds or a date (RFC 9110, 10.2.3); 0 where
// it is neither.
func After(header string) time.Duration {
	if s, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}
