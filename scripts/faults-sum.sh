#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Adds up the COUNTS lines of a fault report.
set -eu
awk '/^COUNTS / {
	sub(/^COUNTS /, "")
	n = split($0, parts, /, /)
	for (i = 1; i <= n; i++) {
		match(parts[i], / [0-9]+$/)
		name = substr(parts[i], 1, RSTART - 1)
		if (!(name in sum)) order[++names] = name
		sum[name] += substr(parts[i], RSTART + 1)
	}
}
END {
	printf "IN ALL: "
	for (i = 1; i <= names; i++) printf "%s %d%s", order[i], sum[order[i]], i < names ? ", " : "\n"
}' "$1"
