# What the scripts of this project on the nodes share: it stands before each of
# them. Needs a POSIX shell. Reading it sets no variable, since some have the
# user's around them. What finds something out sets the variable of its own name
# rather than print: a process for each of a hundred answers is what takes time.

: # what the next comment says would else hold for the whole script
# shellcheck disable=SC2034,SC2329 # no script uses all of it
{
	now() { date -u +%Y-%m-%dT%H:%M:%SZ; }

	# nap [SECONDS] waits for a moment.
	nap() { sleep "${1:-0.2}" 2>/dev/null || sleep 1; }

	privileged() {
		if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
	}

	# put FILE TEXT makes the line FILE's content, so that it is whole and on disk, or
	# not there.
	put() {
		printf '%s\n' "$2" >"$1.tmp.$$" && { sync "$1.tmp.$$" 2>/dev/null || sync; } && mv -f -- "$1.tmp.$$" "$1" || return 1
		sync "${1%/*}" 2>/dev/null || :
	}

	# line FILE sets line to the first line of a file; fails where there is none.
	line() {
		line=
		IFS= read -r line 2>/dev/null <"$1" || [ -n "$line" ]
	}

	# last FILE sets last to the last line of a file.
	last() {
		last=
		while IFS= read -r line || [ -n "$line" ]; do last=$line; done 2>/dev/null <"$1"
	}

	# field FILE NAME sets field to the value of a line NAME=value; fails where there
	# is none.
	field() {
		field=
		while IFS= read -r line || [ -n "$line" ]; do
			case $line in "$2="*) field=${line#*=} && return ;; esac
		done 2>/dev/null <"$1"
		return 1
	}

	# born PID sets born to when a process started, which tells it from a later one
	# with its number; fails where it is dead.
	born() {
		born=
		if [ -n "$1" ] && [ -r "/proc/$1/stat" ]; then
			while IFS= read -r line || [ -n "$line" ]; do born="$born $line"; done 2>/dev/null <"/proc/$1/stat"
			# The name, which may hold anything, ends at the last ")"; the state follows.
			# shellcheck disable=SC2086 # many words
			set -- ${born##*) }
			born=
			case ${1:-Z} in Z | X) ;; *) born=${20:-} ;; esac
		elif [ -n "$1" ] && [ ! -d /proc/self ]; then
			born=$(ps -o lstart= -p "$1" 2>/dev/null | tr ' ' _)
		fi
		[ -n "$born" ]
	}

	# lives FILE succeeds while the process lives that the fields pid and born name.
	lives() {
		field "$1" born && set -- "$1" "$field" && field "$1" pid && born "$field" && [ "$born" = "$2" ]
	}

	# boot sets boot, a name of the time since the machine was last started. A
	# container has a kernel that runs longer than it does, and a machine of
	# FluffyCloud has its first process in common with the others, too.
	boot() {
		born 1 || :
		if line /proc/sys/kernel/random/boot_id; then
			boot=$line.$born.${FLUFFYCLOUD_BOOT:-}
		else
			boot=$(printf %s "$(sysctl -n kern.boottime 2>/dev/null).$born.${FLUFFYCLOUD_BOOT:-}" | tr -dc 'a-zA-Z0-9.')
		fi
	}
}
