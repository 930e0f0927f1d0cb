// SPDX-License-Identifier: MPL-2.0

package cluster

import "strings"

// maxReason bounds a reason in the table, in bytes.
const maxReason = 300

// OneLine is the text as it stands in a status or a table.
func OneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
