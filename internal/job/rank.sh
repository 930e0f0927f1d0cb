# One rank of a job: part of runner.sh, which reads it for "rank".

# step FILE runs FILE as the rank's work, ends it when the leader says so or is
# gone, and sets code.
step() {
	if [ -e "$dir/stop.$rank" ]; then rm -f -- "$dir/stop.$rank" "$dir/over.$rank"; fi
	{
		read -r _
		: >"$dir/stop.$rank"
		# The order may come before the work has begun to show itself.
		until [ -e "$dir/over.$rank" ]; do
			reap "$rank"
			nap
		done
	} <&6 >/dev/null 2>&1 &
	watcher=$!
	# Not in the background, where a shell lets ignore SIGINT and SIGQUIT.
	limit_of "$rank"
	boot
	{
		( # the user's variables may have any name: ours are arguments from here on
			set -- "$dir" "$1" "$rank" "$id" "$process_manager" "$blocks" "$boot"
			eval "$text"
			unset text
			if command -v setsid >/dev/null 2>&1; then exec setsid sh "$1/step.sh" "$@"; fi
			set -m
			sh "$1/step.sh" "$@" &
			wait $!
		) </dev/null 2>&1 6<&-
		code=$?
	} 2>/dev/null # the shell would comment on signals
	if [ -e "$dir/stop.$rank" ]; then
		: >"$dir/over.$rank"
		wait "$watcher"
		code=137
	else
		kill "$watcher" 2>/dev/null
	fi
	if left_behind; then reap "$rank" >/dev/null 2>&1; fi
	: >"$dir/pid.$rank"
	[ ! -e "$dir/scope.$rank" ] || rm -f -- "$dir/scope.$rank"
}

# left_behind succeeds unless nothing of the rank is left after its script's end.
# What is left has lost its parent, and the kernel has given it to one of this
# process's ancestors. To look at their children, and not at all processes, is
# what lets hundreds of ranks end on one machine.
left_behind() {
	if [ ! -d /proc/self ] || [ -e "$dir/scope.$rank" ] || group "$rank"; then return; fi
	p=$$
	set --
	while [ "$p" != 0 ]; do
		for f in "/proc/$p/task"/*/children; do
			line "$f" || [ -r "$f" ] || return 0 # this kernel does not tell
			for c in $line; do
				set -- "$@" "/proc/$c/limits"
				[ ! -r "/proc/$c/environ" ] || set -- "$@" "/proc/$c/environ"
			done
		done
		parent "$p" || return 0
		p=$parent
	done
	# The first file matches in any case, so that a grep that cannot do this is found out.
	limit_of "$rank"
	found=$(grep -lszF -e "id=$id" -e "SKY_JOB_MARK=$id.$rank." -e " $((blocks * 512)) " "$dir/conf" "$@" 2>/dev/null)
	[ "$found" != "$dir/conf" ]
}

# parent PID sets parent to the number of a process's parent.
parent() {
	while read -r key parent _; do
		[ "$key" != PPid: ] || return 0
	done 2>/dev/null <"/proc/$1/status"
	return 1
}

be_rank() {
	rank=$1
	: >"$dir/here.$rank"
	[ ! -e "$dir/ended" ] || rm -f -- "$dir/ended"
	trap ': >"$dir/ended"' EXIT # what prune.sh goes by on nodes without records
	exec 6<&0 </dev/null
	read -r lines <&6 || exit 1
	text='' newline='
'
	while [ "$lines" -gt 0 ]; do
		IFS= read -r line <&6 || exit 1
		text=$text$line$newline
		lines=$((lines - 1))
	done
	place_workdir || { echo "sky-exit setup 1" >&2; exit; }
	if [ -e "$dir/setup.sh" ]; then
		step setup.sh
		if [ -e "$dir/stop.$rank" ]; then echo "sky-exit 137" >&2; exit; fi
		if [ "$code" != 0 ]; then echo "sky-exit setup $code" >&2; exit; fi
	fi
	echo sky-ready >&2
	read -r said <&6
	if [ "${said:-}" != go ]; then echo "sky-exit 137" >&2; exit; fi
	step run.sh
	echo "sky-exit $code" >&2
}

# place_workdir brings in files that had to wait for the jobs before.
place_workdir() {
	[ -d "$dir/workdir" ] || return 0
	mkdir -p -- "$HOME/sky_workdir" && rm -f -- "$HOME/$workdir_record" &&
		cp -RPpf -- "$dir/workdir/." "$HOME/sky_workdir/" && rm -rf -- "$dir/workdir"
}
