# A step: a script that runs on the node once, whatever becomes of the connection.
# Its folder holds its record. What step.go sets is about this call.
#
#   begin   claims the step's folder for the script on standard input and starts
#           it, detached; where the machine was started anew since, once more
#   look    prints "STATE CODE SIZE STARTS" and what the script printed beyond
#           byte $from; waits a while for news
#   end     ends what runs of the step
#   forget  deletes its record
set -u
umask 077
: "${verb:?}" "${id:?}" "${from:?}" "${most:?}"
steps=$HOME/.sky/steps dir=$steps/$id

# runs DIR succeeds while the keeper of the step in DIR lives, or its script.
runs() {
	boot
	[ -e "$1/boot.$boot" ] && { lives "$1/keeper" || lives "$1/work"; }
}

# end_step DIR asks what runs of a step to end, waits, then insists.
end_step() {
	for sig in TERM KILL; do
		t=0
		while runs "$1"; do
			if [ "$t" = 0 ]; then
				for p in keeper work; do
					! field "$1/$p" pid || kill "-$sig" "-$field" 2>/dev/null || kill "-$sig" "$field" 2>/dev/null
				done
			fi
			t=$((t + 1))
			[ "$t" -le 20 ] || break
			nap
		done
	done
	! runs "$1"
}

# claim makes the step's folder. A rename is the claim: an earlier connection's
# may still be at it.
claim() {
	stage=$steps/.$id.${nonce:?}
	trap 'rm -rf -- "$stage"' EXIT
	trap 'exit 129' HUP INT TERM PIPE
	mkdir -p -- "$steps" && mkdir -- "$stage" && cat >"$stage/script" || exit 1
	[ "$(tail -n 1 "$stage/script")" = "# $nonce" ] || { echo "the script arrived incomplete" >&2; exit 1; }
	for other in "$steps"/*; do # what an apply that is gone has left running
		[ ! -d "$other" ] || [ "$other" = "$dir" ] || { end_step "$other" && rm -rf -- "$other"; }
	done
	: >"$stage/out"
	printf '%s\n' "${keep:?}" >"$stage/keep" || exit 1
	mv -- "$stage" "$dir" 2>/dev/null
	if [ -d "$stage" ] || [ -d "$dir/${stage##*/}" ]; then rm -rf -- "${dir:?}/${stage##*/}"; fi
	[ -d "$dir" ] || { echo "the folder of the step could not be made" >&2; exit 1; }
}

begin() {
	if [ -d "$dir" ]; then cat >/dev/null; else claim; fi
	[ ! -e "$dir/exit" ] || return 0
	boot
	mkdir -- "$dir/boot.$boot" 2>/dev/null || return 0 # started since the machine was
	count_starts
	if [ "$starts" -gt $((most + 1)) ]; then
		echo restarts >"$dir/exit"
		return
	fi
	if [ "$starts" -gt 1 ]; then
		rm -f -- "$dir/keeper" "$dir/work" "$dir/code"
		echo "sky: the machine was restarted; the script is started anew ($((starts - 1)) of $most)" >>"$dir/out"
	fi
	SKY_SETUP_RESTARTS=$((starts - 1)) && export SKY_SETUP_RESTARTS
	trap - EXIT HUP INT TERM PIPE
	exec </dev/null >/dev/null 2>&1
	# setsid forks by itself where this is the leader of a group. A shell's own
	# background process would have SIGINT and SIGQUIT ignored for good.
	if ! command -v setsid >/dev/null 2>&1; then
		nohup sh "$dir/keep" "$dir" &
	elif leader; then
		exec setsid sh "$dir/keep" "$dir"
	else
		setsid sh "$dir/keep" "$dir" &
	fi
}

# leader succeeds for the leader of a process group.
leader() {
	line "/proc/$$/stat" || return
	# shellcheck disable=SC2086 # many words
	set -- ${line##*) }
	[ "$3" = "$$" ]
}

count_starts() {
	starts=0
	for b in "$dir"/boot.*; do
		[ ! -e "$b" ] || starts=$((starts + 1))
	done
}

# judge sets state and code.
judge() {
	boot
	state=running code=- begun=
	# Before the look at what lives: the keeper may write its record in between.
	[ ! -e "$dir/keeper" ] || begun=yes
	if line "$dir/exit"; then
		state=ended code=$line
	elif [ ! -d "$dir" ]; then
		state=absent
	elif [ ! -d "$dir/boot.$boot" ]; then
		state=rebooted
	elif runs "$dir"; then
		return
	elif line "$dir/exit" || line "$dir/code"; then # in between, or nobody waited
		state=ended code=$line
	elif [ -n "$begun" ] || [ "$tries" -ge 60 ]; then
		state=lost
	fi
}

look() {
	tries=0
	while :; do
		judge # before the size: after the end the output is whole
		size=$(wc -c 2>/dev/null <"$dir/out") || size=0
		[ "$state" = running ] && [ $((size)) -le "$from" ] && [ "$tries" -lt 60 ] || break
		tries=$((tries + 1))
		if [ "$tries" -le 10 ]; then nap 0.05; else nap; fi
	done
	count_starts
	echo "$state $code $((size)) $starts"
	[ $((size)) -le "$from" ] || tail -c +$((from + 1)) "$dir/out" | head -c 1048576
}

case $verb in
begin) begin ;;
look) look ;;
end) [ ! -d "$dir" ] || end_step "$dir" ;;
forget) rm -rf -- "$dir" ;;
esac
