#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
#
# Runs every test that needs no peer, of the packages given: the packages' own tests
# and those of a cluster's main life under Terraform with the race detector, and then
# all tests under Terraform without it. With it those are most of a run's time, and
# they call the code that the packages' own tests have called with it before.
set -eu
cd "$(dirname "$0")/.."
terraform=$1
shift
main='^TestAcc(QuickstartShape|Failover|UpdateInPlace|JobWhole|Resize|StopAndStart|DataSources|Interrupt|CreateBeforeDestroy|Life)$'

accept=
for package in $(go list -f '{{.ImportPath}}={{.Dir}}' "$@"); do
	if grep -qs '^func TestAcc[A-Z]' "${package#*=}"/*_test.go; then accept="$accept ${package%%=*}"; fi
done

status=0
with_detector() { CGO_ENABLED=1 ./bin/dev acc -terraform "$terraform" go test -race -timeout 30m "$@" || status=1; }
with_detector -skip '^TestAcc[A-Z]' "$@"
if [ -n "$accept" ]; then
	# shellcheck disable=SC2086 # one word for each package
	with_detector -run "$main" $accept
	# shellcheck disable=SC2086 # one word for each package
	./bin/dev acc -terraform "$terraform" go test -timeout 30m -run '^TestAcc[A-Z]' $accept || status=1
fi
exit "$status"
