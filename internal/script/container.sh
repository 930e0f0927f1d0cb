# The container in which a node runs the user's scripts. Needs a POSIX shell, the
# usual small tools, nsenter, and Docker or Podman.
#
#   container.sh up IMAGE NAME [login]
#                           see that the container NAME of the image is there and
#                           runs; with "login", standard input is a config.json
#                           with the login to the image's registry
#   container.sh ready      see that the container runs, for somebody who enters later
#   container.sh enter COMMAND...
#                           become the command within, with this environment
#   container.sh link PATH...
#                           show paths of the node within, under the same names
#   container.sh own        give what root within has written in the home folder to
#                           the node's user
#
# The container is a file system: it shares the node's network, processes and
# devices. What runs in it is not a child of the engine but of whoever enters, so
# that signals, exit codes, limits and marks are what they are without it. Where
# the file conf is, scripts run within. A container that does not run, as after a
# reboot, is started by whoever needs it.
if [ "$1" = enter ]; then # before another variable is set
	if [ -n "${BASH_VERSION:-}" ]; then # whose export -p has quotes that other shells do not read
		# shellcheck disable=SC3044 # of bash
		given=$(for SKY__NAME in $(compgen -e); do
			eval "SKY__VALUE=\$$SKY__NAME"
			printf "export %s='" "$SKY__NAME"
			printf %s "$SKY__VALUE" | sed "s/'/'\\\\''/g"
			printf "'\n"
		done)
	else
		given=$(export -p)
	fi
	mask=$(umask)
fi
set -u
umask 077
base=$HOME/.sky/container
host=/sky-host # where the node's file system is within
# The user's variables are for the scripts, not for the engine.
unset DOCKER_HOST DOCKER_CONTEXT DOCKER_CONFIG DOCKER_TLS_VERIFY DOCKER_CERT_PATH CONTAINER_HOST CONTAINERS_CONF CONTAINERS_STORAGE_CONF

say() { echo "container: $*" >&2; }
die() {
	say "$@"
	exit 1
}

# engine_run COMMAND... runs a command of the engine.
engine_run() {
	# shellcheck disable=SC2086 # a word with its option, or none
	privileged "$engine" $runtime "$@"
}

# find_engine sets engine to the one that works here, and runtime to the option
# that it needs.
find_engine() {
	for engine in docker podman; do
		runtime=
		if ! command -v "$engine" >/dev/null 2>&1 || ! engine_run info >/dev/null 2>&1; then continue; fi
		# Beside both hierarchies of control groups crun does not start.
		if [ "$engine" = podman ] && [ -d /sys/fs/cgroup/unified ] && command -v runc >/dev/null 2>&1; then runtime='--runtime runc'; fi
		return 0
	done
	return 1
}

# know sets what up has written down.
know() {
	field "$base/conf" name || die "there is none on this node"
	name=$field
	field "$base/engine" engine || die "the container $name was not made: the log of the launch says why"
	engine=$field
	field "$base/engine" runtime || :
	runtime=$field
}

# running sets pid to the container's first process; fails where it does not run.
# The number may be another process's by now: a mark in the environment tells.
running() {
	pid=$(engine_run inspect -f '{{.State.Pid}}' "$name" 2>/dev/null) && [ "${pid:-0}" -gt 1 ] && [ -s "$base/env" ] || return
	privileged cat "/proc/$pid/environ" 2>/dev/null | tr '\0' '\n' | grep -qxF "SKY_CONTAINER=$name"
}

# await_running waits until it runs; fails where it has ended.
await_running() {
	t=0
	until running; do
		t=$((t + 1))
		if [ "$t" -gt 5 ] && [ "$(engine_run inspect -f '{{.State.Status}}' "$name" 2>/dev/null)" != running ]; then return 1; fi
		[ "$t" -lt 150 ] || return 1
		nap
	done
}

# see_running starts the container where it does not run.
see_running() {
	if running; then return; fi
	if ! engine_run start "$name" >/dev/null 2>"$base/said" || ! await_running; then
		# The engine may take what a power failure ended for running.
		engine_run kill "$name" >/dev/null 2>&1
		if ! engine_run start "$name" >/dev/null 2>"$base/said" || ! await_running; then
			die "$name does not start again: $(tail -n 3 "$base/said" | tr '\n' ' ')"
		fi
	fi
}

# become COMMAND... becomes a command in the container's file system.
become() {
	if [ "$(id -u)" = 0 ]; then exec nsenter -t "$pid" -m "$@"; fi
	exec sudo -n nsenter -t "$pid" -m "$@"
}

# ---- making it --------------------------------------------------------------

# pull gets the image where it is not here. A registry that does not answer is
# asked again; one that says no is not.
pull() {
	if engine_run image inspect "$image" >/dev/null 2>&1; then return; fi
	say "pulling $image"
	t=1
	until pull_once; do
		if [ "$t" -ge 3 ] || grep -qiE 'unauthorized|denied|forbidden|manifest unknown|not found|invalid|no such host|connection refused|no space left' "$base/pull.log"; then
			die "the image $image cannot be pulled"
		fi
		nap $((t * 5))
		t=$((t + 1))
	done
}

pull_once() {
	set -- "$engine" pull "$image"
	if [ -n "$secret" ] && [ "$engine" = podman ]; then
		set -- podman pull --authfile "$secret/config.json" "$image"
	elif [ -n "$secret" ]; then
		set -- docker --config "$secret" pull "$image"
	fi
	{
		privileged "$@" </dev/null
		echo "$?" >"$base/pull.code"
	} 2>&1 | tee "$base/pull.log" >&2
	line "$base/pull.code" && [ "$line" = 0 ]
}

# take_login puts the registry's login from standard input where only memory is.
take_login() {
	secret=
	[ "$1" = login ] || return 0
	where=/dev/shm
	[ -d "$where" ] && [ -w "$where" ] || where=${TMPDIR:-/tmp}
	secret=$(mktemp -d "$where/sky.XXXXXX") || exit 1
	trap 'rm -rf -- "$secret"' EXIT
	trap 'exit 129' HUP INT TERM PIPE
	cat >"$secret/config.json"
}

# devices sets devices to what gives the container the node's GPUs.
devices() {
	devices=
	[ -e /dev/nvidiactl ] || return 0
	command -v nvidia-ctk >/dev/null 2>&1 || command -v nvidia-container-cli >/dev/null 2>&1 ||
		die "the machine has NVIDIA GPUs, and its image has no NVIDIA Container Toolkit, which gives them to a container; take an image that has it, or install it with the cluster template's setup"
	if [ "$engine" = docker ]; then
		devices='--gpus all'
		return
	fi
	if ! privileged mkdir -p /etc/cdi || ! privileged nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml >/dev/null 2>"$base/said"; then
		die "nvidia-ctk cannot describe the GPUs: $(tail -n 3 "$base/said" | tr '\n' ' ')"
	fi
	devices='--device nvidia.com/gpu=all'
}

# make makes the container.
make() {
	devices
	set -- --name "$name" --user 0:0 --network host --pid host --ipc host --privileged --workdir "$HOME" --env "SKY_CONTAINER=$name"
	# What is mounted later shows within, where the machine lets mounts show.
	spread=
	if grep -qE '^[0-9]+ [0-9]+ [^ ]+ / / .* shared:' /proc/self/mountinfo; then spread=,bind-propagation=rslave; fi
	set -- "$@" --mount "type=bind,source=/,target=$host$spread" --mount "type=bind,source=$HOME,target=$HOME$spread"
	if [ "$engine" = podman ]; then # which asks for more than it may have
		little_of 'Max open files'
		set -- "$@" --ulimit "nofile=$little:$little"
		little_of 'Max processes'
		set -- "$@" --ulimit "nproc=$little:$little"
	fi
	engine_run rm -f "$name" >/dev/null 2>&1
	rm -f -- "$base/env"
	# Its first process leaves the image's environment, and waits.
	# shellcheck disable=SC2016,SC2086 # for the shell that it starts; words on purpose
	engine_run run -d $devices "$@" --entrypoint sh "$image" -c \
		'umask 022; export -p >"$0.new" && mv -f "$0.new" "$0" && exec sleep 2147483647' "$base/env" >/dev/null 2>"$base/said" ||
		die "the image $image does not start; it must have sh, mv and sleep: $(tail -n 3 "$base/said" | tr '\n' ' ')"
	await_running || die "the image $image does not stay; it must have sh, mv and sleep: $(engine_run logs "$name" 2>&1 | tail -n 3 | tr '\n' ' ')"
}

# little_of NAME sets little to a limit that is below this process's own. It is for
# the container's first process alone: what enters brings its own.
little_of() {
	little=1024
	while IFS= read -r line; do
		case $line in
		"$1"*)
			# shellcheck disable=SC2086 # words on purpose
			set -- ${line#"$1"}
			case $1 in unlimited) ;; *) [ "$1" -ge "$little" ] || little=$1 ;; esac
			return
			;;
		esac
	done </proc/self/limits
}

up() {
	mkdir -p -- "$base"
	image=$1 name=$2
	# From here on no script runs beside the container, whatever becomes of it.
	put "$base/conf" "image=$image
name=$name" || exit 1
	take_login "${3:-}"
	command -v nsenter >/dev/null 2>&1 || die "the machine's image has no nsenter; it is in util-linux"
	if ! find_engine; then
		[ -s "$base/install.sh" ] || die "neither Docker nor Podman works here, and the cluster template does not say how to install one (container_engine)"
		say "neither Docker nor Podman works here: installing one, as the cluster template says"
		sh "$base/install.sh" </dev/null >&2 || die "it could not be installed"
		find_engine || die "neither Docker nor Podman works here after the installation: $(engine_run info 2>&1 | tail -n 3 | tr '\n' ' ')"
	fi
	put "$base/engine" "engine=$engine
runtime=$runtime" || exit 1
	pull
	if [ "$(engine_run inspect -f '{{.Config.Image}}' "$name" 2>/dev/null)" = "$image" ]; then
		see_running
	else
		make
	fi
	say "$image runs, in $engine"
}

# ---- using it ---------------------------------------------------------------

enter() {
	know
	see_running
	umask "$mask"
	# The image's environment, over it that of the script, but for the programs,
	# which are the image's. Nothing of it is an argument.
	# shellcheck disable=SC2016 # for the shell that it starts
	become sh -c '
SKY__TEXT=$(cat)
. "$0"
SKY__IMAGE=$PATH
eval "$SKY__TEXT"
unset SKY__TEXT SHELL MAIL
[ -n "${SKY__KEEP_PATH+x}" ] || PATH=$SKY__IMAGE
USER=root LOGNAME=root
export PATH USER LOGNAME SKY__IMAGE
exec "$@" </dev/null' "$base/env" "$@" <<END
$given
END
}

# ready comes before limits and marks of a job are set, which Podman would pass on
# to the container.
ready() {
	know
	see_running
}

link() {
	know
	see_running
	for p; do
		case $p in "$HOME"/*) continue ;; esac
		# shellcheck disable=SC2016,SC3013 # for the shell that it starts, which every image's has
		(become sh -c '
p=$1
if [ "$p" -ef "$0$p" ]; then exit; fi
if [ -d "$p" ] && [ ! -L "$p" ]; then rmdir "$p" 2>/dev/null; fi
if [ -e "$p" ] || [ -L "$p" ]; then exit 3; fi
mkdir -p "${p%/*}/" && ln -s "$0$p" "$p"' "$host" "$p" </dev/null) ||
			die "the image has something of its own at $p; choose another path"
	done
}

own() {
	[ "$(id -u)" = 0 ] || privileged find "$HOME" -xdev -user 0 -exec chown -h "$(id -u):$(id -g)" {} + 2>/dev/null || :
}

mode=$1
shift
case $mode in
up) up "$@" ;;
ready) ready ;;
enter) enter "$@" ;;
link) link "$@" ;;
own) own ;;
*) exit 64 ;;
esac
