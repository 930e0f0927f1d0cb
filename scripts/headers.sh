#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
#
# Fails where a source file does not name the licence in its first lines.
# Examples that the registry's pages show whole are left without.
set -eu
cd "$(dirname "$0")/.."
files=$(git ls-files --cached --others --exclude-standard -- '*.go' '*.sh' '*.awk' GNUmakefile .ci 'examples/quickstart/*.tf')
missing=$(printf '%s\n' "$files" | while IFS= read -r file; do
	[ ! -f "$file" ] || head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MPL-2.0' || echo "$file"
done)
if [ -n "$missing" ]; then
	printf 'no line "SPDX-License-Identifier: MPL-2.0" at the top of:\n%s\n' "$missing" >&2
	exit 1
fi
