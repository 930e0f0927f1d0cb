# SPDX-License-Identifier: MPL-2.0
#
# Ray on one node, in a Python environment of its own and off Ray's own ports,
# so that neither the user's Python nor the user's Ray is in its way. Needs a
# POSIX shell and the usual small tools. Every command may be repeated.
#
# script.OnNode's prelude stands before it there.
#
#   ray.sh secret         print the cluster's secret, made on first use; read one from standard input with "-"
#   ray.sh install        install the pinned Ray
#   ray.sh up [SESSION PORT]
#                         see that Ray runs: on rank 0 the head, else a worker of
#                         that head's session; prints "SESSION PORT"
#   ray.sh wait N         wait until N nodes are there
#   ray.sh down           end it
#   ray.sh python         print the interpreter that has Ray
#   ray.sh api PATH       print what the head answers
set -u
umask 077
base=$HOME/.sky/ray
# shellcheck source=/dev/null # what the broker has written
. "$base/conf" || exit 1
: "${version:?}" "${requirements?}" "${pip_options?}" "${interpreters?}" "${preinstalled?}" "${rank:?}" "${address:?}" "${head:?}" \
	"${gcs_port:?}" "${dashboard_port:?}" "${object_manager_port:?}" "${agent_port:?}" "${client_port:?}" \
	"${object_store_bytes:?}" "${cpus?}" "${gpus:?}" "${resources:?}"
venv=$base/venv-$version
# Sockets have short names only, and homes can be long.
private=/tmp/sky-ray-$(id -u)-$(printf %s "$HOME $address" | cksum | cut -d ' ' -f 1)
run=$private/r # which Ray opens to everybody
python=$venv/bin/python
[ -z "$preinstalled" ] || [ ! -x "$preinstalled/bin/python" ] || python=$preinstalled/bin/python

say() { echo "ray: $*" >&2; }
die() {
	say "$@"
	exit 1
}
# alone lets one of us at a time go on; the lock goes with its holder.
alone() {
	t=0
	until mkdir "$base/lock" 2>/dev/null; do
		field "$base/lock/holder" pid || :
		holder=$field
		t=$((t + 1))
		# A holder writes its name at once; one without a name was cut off.
		if [ -n "$holder" ] && ! lives "$base/lock/holder" || { [ -z "$holder" ] && [ "$t" -gt 25 ]; }; then
			rm -rf -- "$base/lock"
			continue
		fi
		[ "$t" -lt 3000 ] || die "another call (process $holder) has been at it for ten minutes"
		nap
	done
	trap 'rm -rf -- "$base/lock"' EXIT
	trap 'exit 129' HUP INT TERM PIPE
	born $$
	printf 'born=%s\npid=%s\n' "$born" $$ >"$base/lock/holder"
}

# ---- installation ---------------------------------------------------------

installed() {
	"$python" -I -c "import sys, ray, cryptography
sys.exit(ray.__version__ != sys.argv[1])" "$version" >/dev/null 2>&1
}

# suitable prints the first Python that the pinned Ray has packages for.
suitable() {
	for p in $interpreters; do
		if "$p" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1; then
			command -v "$p"
			return
		fi
	done
	return 1
}

make_venv() {
	rm -rf -- "$venv"
	"$1" -m venv "$venv" >"$base/install.log" 2>&1 && return
	rm -rf -- "$venv"
	# Debian and Ubuntu leave the module out of their images.
	command -v apt-get >/dev/null 2>&1 || return 1
	say "installing python3-venv"
	export DEBIAN_FRONTEND=noninteractive
	{
		privileged apt-get -o DPkg::Lock::Timeout=300 -qq update
		privileged apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends python3-venv
	} >>"$base/install.log" 2>&1
	"$1" -m venv "$venv" >>"$base/install.log" 2>&1
}

install() {
	if installed; then return; fi
	[ -d /proc/self ] || die "Ray needs Linux here"
	python=$venv/bin/python
	p=$(suitable) || die "no Python from 3.10 to 3.14 here (looked for: $interpreters). Use an image that has one, or runtime = \"ssh\"."
	say "installing Ray $version into $venv with $p"
	make_venv "$p" || die "no Python environment could be made with $p: $(tail -n 3 "$base/install.log")"
	set -f
	# shellcheck disable=SC2086 # several words each, and brackets among them
	PYTHONNOUSERSITE=1 "$python" -m pip install --disable-pip-version-check --no-input -q $pip_options $requirements >>"$base/install.log" 2>&1 ||
		die "Ray $version could not be installed: $(tail -n 5 "$base/install.log")"
	installed || die "Ray $version was installed and cannot be loaded: $("$python" -I -c 'import ray, cryptography' 2>&1 | tail -n 3)"
}

# ---- secret ---------------------------------------------------------------

# secret keeps what the nodes of a cluster know one another by. Ray's own token
# follows from it; so does the key for what must not cross the network in clear.
secret() {
	if [ "${1:-}" = - ]; then
		cat >"$base/secret.$$" && [ -s "$base/secret.$$" ] || die "no secret arrived"
		mv -f -- "$base/secret.$$" "$base/secret"
	elif [ ! -s "$base/secret" ]; then
		head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$base/secret.$$"
		ln "$base/secret.$$" "$base/secret" 2>/dev/null
		rm -f -- "$base/secret.$$"
	fi
	[ "${1:-}" = - ] || cat "$base/secret"
}

# ---- processes ------------------------------------------------------------

# ours lists Ray's processes: those with our mark in their environment, where
# jobs do not have it, and what they have started, since some overwrite theirs.
ours() {
	marks=$(grep -lsF "SKY_RAY_RUN=$run" /proc/[0-9]*/environ 2>/dev/null | sed 's,^/proc/,,; s,/environ$,,')
	[ -n "$marks" ] || return 0
	cat /proc/[0-9]*/stat 2>/dev/null | sed 's/(.*)/x/' | awk -v marks="$marks" '
		BEGIN { n = split(marks, m, /[ \n]+/); for (i = 1; i <= n; i++) in_[m[i]] = 1 }
		{ parent[$1] = $4; if ($3 == "Z") dead[$1] = 1 }
		END {
			do {
				more = 0
				for (p in parent) if (!(p in in_) && (parent[p] in in_)) more = in_[p] = 1
			} while (more)
			for (p in in_) if (p in parent && !(p in dead)) print p
		}'
}

# recorded NAME VALUE succeeds where the state says so.
recorded() { field "$base/state" "$1" && [ "$field" = "$2" ]; }

# ours_lives NAME succeeds while our process of that name lives; one that never
# was is no harm.
ours_lives() {
	field "$base/state" "$1" && [ -n "$field" ] || return 0
	pid=$field
	field "$base/state" "${1}_born" && born "$pid" && [ "$born" = "$field" ]
}

running() {
	boot
	recorded boot "$boot" && recorded address "$address" && recorded version "$version" || return
	ours_lives raylet && ours_lives gcs && field "$base/state" raylet && [ -n "$field" ]
}

down() {
	t=0
	if running; then # first the one that says goodbye to the others
		field "$base/state" raylet
		pid=$field
		kill "$pid" 2>/dev/null
		while born "$pid" && [ "$t" -lt 50 ]; do
			nap
			t=$((t + 1))
		done
	fi
	rm -f -- "$base/state"
	t=0
	while left=$(ours) && [ -n "$left" ]; do
		# shellcheck disable=SC2086 # several numbers
		if [ "$t" -lt 10 ]; then kill $left 2>/dev/null; else kill -9 $left 2>/dev/null; fi
		nap
		t=$((t + 1))
		[ "$t" -lt 100 ] || die "these processes do not end: $left"
	done
	rm -rf -- "$private"
}

# pid_of PROGRAM prints the number of our process of that name.
pid_of() {
	for p in $(ours); do
		case $(cat "/proc/$p/cmdline" 2>/dev/null | tr '\0' ' ') in
		*"/$1 "*) echo "$p" && return ;;
		esac
	done
}

# free WANTED prints it, or a free port instead of 0.
free() {
	[ "$1" = 0 ] || { echo "$1" && return; }
	"$python" -I -c 'import socket, sys
s = socket.create_server((sys.argv[1], 0)); print(s.getsockname()[1])' "$address"
}

environment() {
	unset PYTHONPATH PYTHONHOME RAY_ADDRESS
	# shellcheck disable=SC3045 # where the shell has it
	ulimit -n "$(ulimit -Hn)" 2>/dev/null
	mkdir -m 700 -- "$private" 2>/dev/null
	# shellcheck disable=SC3067 # dash, bash and busybox have -O
	if [ ! -O "$private" ] || ! mkdir -p -- "$run"; then die "$private belongs to somebody else"; fi
	"$python" -I -c 'import hashlib, hmac, sys
print(hmac.new(sys.stdin.read().strip().encode(), b"token", hashlib.sha256).hexdigest(), end="")' <"$base/secret" >"$base/token" || exit 1
	# The kernel, not Ray, ends processes where memory runs out, and jobs run at
	# the priority of any other process.
	export SKY_RAY_RUN="$run" SKY_RAY_TMPDIR="${TMPDIR:-}" TMPDIR="$run" PYTHONNOUSERSITE=1 RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$base/token" \
		RAY_memory_monitor_refresh_ms=0 RAY_worker_niceness=0 RAY_USAGE_STATS_ENABLED=0 RAY_DEDUP_LOGS=0 \
		RAY_SCHEDULER_EVENTS=0 RAY_enable_export_api_write=0
}

start() {
	set -- --node-ip-address="$address" --temp-dir="$run" --object-store-memory="$object_store_bytes" --min-worker-port=0 --max-worker-port=0 \
		--object-manager-port="$(free "$object_manager_port")" --dashboard-agent-listen-port="$(free "$agent_port")" \
		--num-gpus="$gpus" --resources="$resources" --disable-usage-stats --include-log-monitor=false --log-color=false
	[ -z "$cpus" ] || set -- "$@" --num-cpus="$cpus"
	if [ "$rank" = 0 ]; then
		port=$(free "$gcs_port")
		dashboard=$(free "$dashboard_port")
		set -- "$@" --head --port="$port" --dashboard-host="$address" --dashboard-port="$dashboard" --ray-client-server-port="$(free "$client_port")"
	else
		set -- "$@" --address="$head:$port"
	fi
	(
		environment
		exec "$python" -m ray.scripts.scripts start "$@"
	) </dev/null >"$base/start.log" 2>&1 || {
		said=$(tail -n 12 "$base/start.log")
		(down)
		die "Ray did not start: $said"
	}
	raylet=$(pid_of raylet) gcs=$(pid_of gcs_server)
	[ -n "$raylet" ] || die "Ray ended as soon as it had started: $(tail -n 5 "$base/start.log")"
	if [ "$rank" = 0 ]; then
		t=0
		until session=$(dashboard=$dashboard api /api/version 2>/dev/null | sed -n 's/.*"session_name": *"\([^"]*\)".*/\1/p') && [ -n "$session" ]; do
			t=$((t + 1))
			[ "$t" -lt 300 ] || die "Ray's dashboard does not answer on $address:$dashboard"
			nap
		done
	fi
	boot
	born "$raylet" || :
	raylet_born=$born
	born "$gcs" || :
	printf '%s\n' "boot=$boot" "address=$address" "version=$version" "session=$session" "port=$port" "dashboard=${dashboard:-}" \
		"raylet=$raylet" "raylet_born=$raylet_born" "gcs=$gcs" "gcs_born=$born" >"$base/state.$$"
	mv -f -- "$base/state.$$" "$base/state"
}

# joined succeeds while Ray runs here in the session asked for.
joined() {
	running && { [ "$rank" = 0 ] || recorded session "$session"; }
}

up() {
	session=${1:-} port=${2:-}
	[ "$rank" = 0 ] || [ -n "$port" ] || die "a worker is told the head's session"
	if ! joined; then
		installed || die "Ray $version is not installed in $python"
		[ -s "$base/secret" ] || die "the cluster's secret is not here"
		alone
		if ! joined; then # another call may have seen to it meanwhile
			down
			start
		fi
	fi
	field "$base/state" session
	session=$field
	field "$base/state" port
	echo "$session $field"
}

api() {
	[ -n "${dashboard:-}" ] || ! field "$base/state" dashboard || dashboard=$field
	"$python" -I -c 'import sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + open(sys.argv[2]).read()})
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(request, timeout=20).read().decode())' "http://$address:${dashboard:-}$1" "$base/token"
}

await_nodes() {
	t=0
	while :; do
		n=$(api '/api/v0/nodes?limit=9999&filter_keys=state&filter_predicates=%3D&filter_values=ALIVE' 2>/dev/null | grep -o '"node_id"' | wc -l)
		[ "$n" -lt "$1" ] || return 0
		t=$((t + 1))
		[ "$t" -lt 200 ] || die "$n of $1 nodes joined within two minutes"
		nap
		nap
	done
}

case $1 in
secret) secret "${2:-}" ;;
install)
	alone
	install
	;;
up) up "${2:-}" "${3:-}" ;;
wait) await_nodes "$2" ;;
down)
	alone
	down
	;;
python) echo "$python" ;;
api) api "$2" ;;
*) exit 64 ;;
esac
