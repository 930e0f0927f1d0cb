#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
#
# Compares what requests get here with what SkyPilot picks from the same catalogs.
#
#   SKYPILOT_PYTHON=/path/to/venv/bin/python scripts/oracle/run.sh /path/to/catalogs
#
# The folder holds aws/vms.csv and gcp/vms.csv. The Python needs skypilot[aws,gcp].
# Nothing is launched, and SkyPilot's own folder is a temporary one.
set -eu
: "${SKYPILOT_PYTHON:?set it to a Python that has skypilot}"
catalogs=$(cd "${1:?name the folder of the catalogs}" && pwd)
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -o "$work/sky" .
for cloud in aws gcp; do
	mkdir -p "$work/home/.sky/catalogs/v8/$cloud"
	cp "$catalogs/$cloud/"*.csv "$work/home/.sky/catalogs/v8/$cloud/"
done
chmod -R u+w "$work/home"
HOME="$work/home" SKYPILOT_DISABLE_USAGE_COLLECTION=1 "$SKYPILOT_PYTHON" scripts/oracle/oracle.py "$work/sky" "$catalogs" "$work/state"
