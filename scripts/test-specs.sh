#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
#
# Holds the drivers of RunPod and Lambda, and their fakes, against the clouds' own
# OpenAPI files in the folder SKY_SPECS: all tests of the drivers with the files beside
# facts.json, and each call to prism, a mock that others wrote, from the npm registry.
set -eu
cd "$(dirname "$0")/.."
prism_version=5.16.0

fail() {
	echo "test-specs: $1" >&2
	exit 1
}
[ -n "${SKY_SPECS:-}" ] ||
	fail "SKY_SPECS is not set. It names the folder with runpod-v2.openapi.json and lambda-1.10.0.openapi.json, which the clouds publish and this project may not distribute."
specs=$(cd "$SKY_SPECS" && pwd) || fail "there is no folder $SKY_SPECS, which SKY_SPECS names."
for file in runpod-v2.openapi.json lambda-1.10.0.openapi.json; do
	[ -f "$specs/$file" ] || fail "the folder that SKY_SPECS names has no $file."
done

prism=$PWD/.tools/prism/node_modules/.bin/prism
if [ ! -f ".tools/prism/complete-$prism_version" ]; then
	command -v npm >/dev/null 2>&1 || fail "prism needs Node, and npm is not on PATH: install Node 20 or newer."
	echo "installing prism $prism_version into .tools/prism"
	rm -rf .tools/prism
	mkdir -p .tools/prism
	npm install --silent --no-audit --no-fund --prefix .tools/prism "@stoplight/prism-cli@$prism_version" ||
		fail "npm cannot install prism."
	touch ".tools/prism/complete-$prism_version"
fi

work=$(mktemp -d)
mocks=
end() {
	for pid in $mocks; do
		kill "$pid" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap end EXIT

# mock NAME PORT FILE starts prism and returns once it listens.
mock() {
	"$prism" mock --errors -h 127.0.0.1 -p "$2" "$specs/$3" >"$work/$1" 2>&1 &
	mocks="$mocks $!"
	tries=0
	until grep -q "is listening" "$work/$1"; do
		tries=$((tries + 1))
		if ! kill -0 "$!" 2>/dev/null || [ "$tries" -gt 120 ]; then
			cat "$work/$1"
			fail "prism does not start with $3."
		fi
		sleep 1
	done
}
mock runpod 5842 runpod-v2.openapi.json
mock lambda 5841 lambda-1.10.0.openapi.json
SKY_SPECS=$specs SKY_PRISM_RUNPOD=http://127.0.0.1:5842 SKY_PRISM_LAMBDA=http://127.0.0.1:5841 \
	go test -count 1 -tags specs ./internal/cloud/runpod/... ./internal/cloud/lambda/... ./internal/catalog/fetch
