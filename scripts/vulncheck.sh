#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
#
# Runs govulncheck. Where its database cannot be reached nothing was checked:
# that is said aloud and does not count as a finding.
set -eu
tool=$1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
"$tool" ./... >"$log" 2>&1 || status=$?
cat "$log"
if [ "$status" -ne 0 ] && [ "$status" -ne 3 ] && grep -q 'fetching vulnerabilities' "$log"; then
	echo "NOT CHECKED: the vulnerability database cannot be reached from here." >&2
	exit 0
fi
exit "$status"
