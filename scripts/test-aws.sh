#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
#
# Runs the tests of the driver of AWS against moto. Each run of the conformance
# suite has a process and a moto server of its own: they wait most of the time.
# What needs no moto is in make test.
set -eu
cd "$(dirname "$0")/.."
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
CGO_ENABLED=1 go test -race -tags aws -c -o "$logs/aws.test" ./internal/cloud/aws
cd internal/cloud/aws
runs='Conformance ConformanceSlow ConformanceRegional Rest'
for run in $runs; do
	only="^TestMoto$run\$" skip=
	[ "$run" != Rest ] || { only=Moto skip=^TestMotoConformance; }
	{ "$logs/aws.test" -test.run "$only" -test.skip "$skip" -test.timeout 25m >"$logs/$run" 2>&1 || echo failed >"$logs/$run.failed"; } &
done
wait
status=0
for run in $runs; do
	echo "TestMoto$run:"
	cat "$logs/$run"
	# A pattern that no test matches passes in silence.
	if [ -e "$logs/$run.failed" ] || grep -q "no tests to run" "$logs/$run"; then status=1; fi
done
exit "$status"
