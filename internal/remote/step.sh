# A step: a script that runs on the node once, whatever becomes of the connection.
# Its folder holds its record. verb, id, nonce, most and from are set by step.go.
#
#   begin   claims the step's folder for the script on standard input and starts
#           it, detached; where the machine was started anew since, once more
#   look    prints "STATE CODE SIZE STARTS" and what the script printed beyond
#           byte $from; waits a while for news
#   end     ends what runs of the step
#   forget  deletes its record
set -u
umask 077
steps=$HOME/.sky/steps dir=$steps/$id

nap() { sleep "$1" 2>/dev/null || sleep 1; }
field() { sed -n "s/^$2=//p" "$1" 2>/dev/null | head -n 1; }

# boot names the time since the machine, or the container, was last started.
boot() {
	{
		cat /proc/sys/kernel/random/boot_id 2>/dev/null || sysctl -n kern.boottime 2>/dev/null
		born 1
		echo "${FLUFFYCLOUD_BOOT:-}"
	} | tr -dc 'a-zA-Z0-9'
}

# born prints when a process started, which tells it from a later one with its number.
born() {
	if [ -r "/proc/$1/stat" ]; then
		set -- "$(cat "/proc/$1/stat" 2>/dev/null)"
		set -- ${1##*) }
		[ "${1:-Z}" != Z ] && [ "$1" != X ] && echo "${20}"
	elif [ ! -d /proc/self ]; then
		ps -o lstart= -p "$1" 2>/dev/null | tr ' ' _
	fi
}

# lives DIR NAME succeeds while the process that DIR/NAME records lives.
lives() {
	[ -e "$1/$2" ] && [ -e "$1/boot.$(boot)" ] && b=$(born "$(field "$1/$2" pid)") && [ -n "$b" ] && [ "$b" = "$(field "$1/$2" born)" ]
}

# end_step DIR asks what runs of a step to end, waits, then insists.
end_step() {
	for sig in TERM KILL; do
		t=0
		while lives "$1" keeper || lives "$1" work; do
			if [ "$t" = 0 ]; then
				for p in "$(field "$1/keeper" pid)" "$(field "$1/work" pid)"; do
					[ -z "$p" ] || kill "-$sig" "-$p" 2>/dev/null || kill "-$sig" "$p" 2>/dev/null
				done
			fi
			t=$((t + 1))
			[ "$t" -le 20 ] || break
			nap 0.2
		done
	done
	! lives "$1" keeper && ! lives "$1" work
}

# claim makes the step's folder. A rename is the claim: an earlier connection's
# may still be at it.
claim() {
	stage=$steps/.$id.$nonce
	trap 'rm -rf -- "$stage"' EXIT
	trap 'exit 129' HUP INT TERM PIPE
	mkdir -p -- "$steps" && mkdir -- "$stage" && cat >"$stage/script" || exit 1
	[ "$(tail -n 1 "$stage/script")" = "# $nonce" ] || { echo "the script arrived incomplete" >&2; exit 1; }
	for other in "$steps"/*; do # what an apply that is gone has left running
		[ ! -d "$other" ] || [ "$other" = "$dir" ] || { end_step "$other" && rm -rf -- "$other"; }
	done
	: >"$stage/out"
	# The keeper waits for the script and records its end. The script knows its
	# own end, too, should somebody kill its parent.
	cat >"$stage/keep" <<'KEEP'
dir=$1
trap : HUP PIPE # handled, not ignored: what is ignored here would be in the script, too
born() { if [ -r "/proc/$1/stat" ]; then set -- "$(cat "/proc/$1/stat")"; set -- ${1##*) }; echo "${20}"; else ps -o lstart= -p "$1" | tr ' ' _; fi; }
record() { printf 'pid=%s\nborn=%s\n' "$2" "$(born "$2")" >"$dir/$1.new" && mv -f -- "$dir/$1.new" "$dir/$1"; }
case ${2:-} in
'')
	record keeper "$$"
	sh "$dir/keep" "$dir" work </dev/null >>"$dir/out" 2>&1
	echo "$?" >"$dir/exit.new" && { sync "$dir/exit.new" 2>/dev/null || sync; } && mv -f -- "$dir/exit.new" "$dir/exit"
	rm -f -- "$dir/script"
	;;
work)
	record work "$$"
	exec sh "$dir/script"
	;;
esac
KEEP
	mv -- "$stage" "$dir" 2>/dev/null
	if [ -d "$stage" ] || [ -d "$dir/${stage##*/}" ]; then rm -rf -- "${dir:?}/${stage##*/}"; fi
	[ -d "$dir" ] || { echo "the folder of the step could not be made" >&2; exit 1; }
}

begin() {
	if [ -d "$dir" ]; then cat >/dev/null; else claim; fi
	[ ! -e "$dir/exit" ] || return 0
	mkdir -- "$dir/boot.$(boot)" 2>/dev/null || return 0 # started since the machine was
	starts=$(ls -d "$dir"/boot.* | wc -l)
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

leader() {
	[ -r "/proc/$$/stat" ] || return 1
	set -- "$(cat "/proc/$$/stat")"
	set -- ${1##*) }
	[ "$3" = "$$" ]
}

# judge sets state and code.
judge() {
	state=running code=-
	if [ -e "$dir/exit" ]; then
		state=ended code=$(cat "$dir/exit")
	elif [ ! -d "$dir" ]; then
		state=absent
	elif [ ! -d "$dir/boot.$(boot)" ]; then
		state=rebooted
	elif lives "$dir" keeper || lives "$dir" work; then
		return
	elif [ -e "$dir/exit" ]; then # in between
		state=ended code=$(cat "$dir/exit")
	elif [ -s "$dir/code" ]; then
		state=ended code=$(cat "$dir/code")
	elif [ -e "$dir/keeper" ] || [ "$tries" -ge 60 ]; then
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
		if [ "$tries" -le 10 ]; then nap 0.05; else nap 0.2; fi
	done
	echo "$state $code $((size)) $(ls -d "$dir"/boot.* 2>/dev/null | wc -l)"
	[ $((size)) -le "$from" ] || tail -c +$((from + 1)) "$dir/out" | head -c 1048576
}

case $verb in
begin) begin ;;
look) look ;;
end) [ ! -d "$dir" ] || end_step "$dir" ;;
forget) rm -rf -- "$dir" ;;
esac
