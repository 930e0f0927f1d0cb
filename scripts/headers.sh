#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
#
# Fails where a source file does not name the licence in its first lines. Left
# without are the examples that the registry's pages show whole, and scripts
# under internal: they travel to machines as data of the Go file beside them.
set -eu
cd "$(dirname "$0")/.."
files=$(git ls-files --cached --others --exclude-standard -- '*.go' 'scripts/*.sh' '*.awk' GNUmakefile .ci 'examples/quickstart/*.tf')
missing=$(printf '%s\n' "$files" | while IFS= read -r file; do
	[ ! -f "$file" ] || head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MPL-2.0' || echo "$file"
done)
if [ -n "$missing" ]; then
	printf 'no line "SPDX-License-Identifier: MPL-2.0" at the top of:\n%s\n' "$missing" >&2
	exit 1
fi
