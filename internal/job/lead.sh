# The leader of a job, on the head: part of runner.sh, which reads it for "head".

await_turn() {
	while :; do
		[ ! -e "$dir/cancel" ] || return 1
		ahead
		if [ "$count" -lt "$limit" ]; then
			[ ! -e "$dir/waits" ] || rm -f -- "$dir/waits"
			return 0
		fi
		# shellcheck disable=SC2086 # ids, without spaces
		waits_for "waits for" $front
		nap
	done
}

# timer SECONDS EVENT sends an event later, unless it is ended before. The
# signal may come between any two commands here.
timer() {
	sleeper='' over=''
	trap 'over=1; [ -z "$sleeper" ] || kill -9 "$sleeper" 2>/dev/null' TERM
	exec 3>&-
	sleep "$1" &
	sleeper=$!
	[ -z "$over" ] || kill -9 "$sleeper" 2>/dev/null
	wait "$sleeper"
	[ -n "$over" ] || echo "$2" 1<>"$dir/events"
}

# transport N [HOST PORT USER] connects standard input and outputs to the runner
# of rank N.
transport() {
	# The number of this very process; $$ is the leader's in all that it forks.
	read -r self _ 2>/dev/null </proc/self/stat || self=$(exec sh -c 'echo $PPID')
	echo "pid=$self" >"$dir/transport.$1"
	connect "$@"
}

connect() {
	if [ "$1" = 0 ]; then
		exec sh "$dir/runner.sh" rank 0
	fi
	exec ssh -i "$HOME/.sky/cluster/key" -p "$3" -o StrictHostKeyChecking=yes \
		-o UserKnownHostsFile="\"$dir/known.$1\"" -o BatchMode=yes -o ConnectTimeout=20 \
		-o ServerAliveInterval=10 "$4@$2" "exec sh .sky/jobs/$id/runner.sh rank $1"
}

# feed N sends rank N its environment, then the leader's orders.
feed() {
	printf '%s\n' "$((env_lines + 1))" "$env" \
		"SKYPILOT_NODE_RANK=$1 SKYPILOT_SETUP_NODE_RANK=$1; export SKYPILOT_NODE_RANK SKYPILOT_SETUP_NODE_RANK"
	read -r order
	echo "$order"
	[ "$order" = go ] || return
	read -r order
	echo "$order"
}

# listen N turns what rank N reports into events, and passes on the rest.
listen() {
	end=
	while IFS= read -r line; do
		case $line in
		sky-ready) echo "ready $1" >&3 ;;
		sky-exit\ *)
			end=${line#sky-exit }
			echo end 1<>"$dir/go.$1"
			echo "exit $1 $end" >&3
			;;
		*)
			[ -z "$end" ] || continue # only the connection speaks after the end
			printf '%s\n' "$line"
			;;
		esac
	done
	[ -z "$end" ] || return
	echo end 1<>"$dir/go.$1"
	echo "exit $1 lost" >&3
}

# supervise N [HOST PORT USER] is all that is done for one rank, and the same for
# each of many.
supervise() {
	{ feed "$1" <>"$dir/go.$1" | transport "$@" 2>&1 1>&4 3>&- 4>&- | listen "$1" >&4 4>&-; } 4>&1 | collect "$1"
	: >"$dir/transport.$1"
	echo "done $1 $gangs" >&3
}

# order WORD tells every rank that has not ended.
order() {
	i=0
	while [ "$i" -lt "$nodes" ]; do
		case " $codes " in *" $i:"*) ;; *) echo "$1" 1<>"$dir/go.$i" ;; esac
		i=$((i + 1))
	done
}

# stop REASON ends all ranks; those that cannot be reached are given up later.
stop() {
	[ -z "$stopping" ] || return
	stopping=$1
	order stop
	timer $((grace + 45)) abandon &
	timers="$timers $!"
}

abandon() {
	i=0
	while [ "$i" -lt "$nodes" ]; do
		case " $codes " in *" $i:"*) ;; *) cut_off "$i" ;; esac
		i=$((i + 1))
	done
	reap_here 0
}

# cut_off N ends the connection to rank N.
cut_off() { ! field "$dir/transport.$1" pid || kill -9 "$field" 2>/dev/null; }

# hang_up ends the connections of ranks that have ended.
hang_up() {
	open=0 i=0
	while [ "$i" -lt "$nodes" ]; do
		cut_off "$i"
		i=$((i + 1))
	done
}

sizes() { exec ls -ln "$dir"/*.log 2>/dev/null; }

# drained hangs up once the logs have stopped to grow: a slow machine may take
# long to write down what was said. What goes on for minutes is no job's.
drained() {
	grown=$(sizes)
	looks=$((looks + 1))
	if [ "$grown" = "$logged" ] || [ "$looks" -ge 30 ]; then
		hang_up
		return
	fi
	logged=$grown
	timer 10 drained &
	timers="$timers $!"
}

# pipes makes a new pipe for each rank's orders.
pipes() {
	[ "$gangs" = 1 ] || rm -f -- "$dir"/go.*
	set --
	while [ $# -lt "$nodes" ]; do set -- "$@" "$dir/go.$#"; done
	mkfifo "$@"
}

# reach_others starts the ranks beside the head. Each connection gets the line of
# its own host's key; to read those of all for each takes hundreds of nodes long.
reach_others() {
	if [ "$runtime" = ray ]; then
		while r=$((r + 1)) && [ "$r" -lt "$nodes" ]; do supervise "$r" & done
		return
	fi
	while read -r r host port user <&5; do
		IFS= read -r key <&6 && printf '%s\n' "$key" >"$dir/known.$r"
		[ "$r" = 0 ] || supervise "$r" "$host" "$port" "$user" 5<&- 6<&- &
	done 5<"$dir/nodes" 6<"$dir/known_hosts"
}

# gang runs all ranks once. Sets stopping, failed and code.
gang() {
	codes='' stopping='' failed='' code=0 ready=0 left=$nodes open=$nodes what='' r=0
	gangs=$((gangs + 1))
	pipes || return 1
	apart supervise 0 # only rank 0 inherits signals from here
	reach_others
	# Until all ranks have ended and their logs are whole.
	while [ "$left" -gt 0 ] || [ "$open" -gt 0 ]; do
		read -r what r c <&3
		case $what in
		ready) rank_ready ;;
		exit) rank_ended ;;
		done) [ "$c" != "$gangs" ] || open=$((open - 1)) ;;
		drained) [ "$left" -gt 0 ] || drained ;;
		cancel) stop cancel ;;
		timeout) timed_out=1 && stop timeout ;;
		abandon) [ -z "$stopping" ] || abandon ;;
		esac
	done
	# shellcheck disable=SC2086 # numbers
	[ -z "$timers" ] || kill $timers 2>/dev/null
	timers=''
}

# rank_ready lets all go once the last one is ready.
rank_ready() {
	ready=$((ready + 1))
	if [ -n "$stopping" ]; then
		echo stop 1<>"$dir/go.$r"
	elif [ "$ready" = "$nodes" ]; then
		[ -e "$dir/running" ] || put "$dir/running" "$(now)"
		phase RUNNING
		order go
	fi
}

# rank_ended notes how rank $r ended; $c is a code, "setup CODE" or "lost".
rank_ended() {
	left=$((left - 1))
	if [ "$left" = 0 ]; then # a process that escaped may hold a log open forever
		looks=0 logged=$(sizes)
		timer 10 drained &
		timers="$timers $!"
	fi
	how=run
	case $c in
	setup\ *) how=setup c=${c#setup } ;;
	lost) how=lost c=255 ;;
	esac
	if [ -n "$stopping" ]; then
		[ "$c" = 0 ] || c=137 # it was ended, whatever it says of it
	elif [ "$c" != 0 ]; then
		[ "$how" != lost ] || [ "$ready" = "$nodes" ] || how=unreachable
		failed=$r code=$c
		codes="$codes $r:$c"
		stop "$how"
		return
	fi
	codes="$codes $r:$c"
}

# again succeeds when the job is to be started once more after code $code.
again() {
	[ "$stopping" = run ] && [ "$restarts" -lt "$max_restarts" ] && [ ! -e "$dir/cancel" ] && [ "$timed_out" = 0 ] || return 1
	case " $recover " in *" $code "*) ;; *) return 1 ;; esac
	restarts=$((restarts + 1))
	echo "sky: rank $failed ended with exit code $code; starting again ($restarts of $max_restarts)" >>"$merged"
}

lead() {
	restarts=0 codes='' timers='' timed_out=0 gangs=0 refused=''
	boot && born $$
	now=$(date -u '+%Y-%m-%dT%H:%M:%SZ %Y-%m-%d-%H-%M-%S')
	printf 'boot=%s\npid=%s\nborn=%s\nat=%s\n' "$boot" "$$" "$born" "${now% *}" >"$dir/started.$$"
	sync "$dir/started.$$" 2>/dev/null
	ln "$dir/started.$$" "$dir/started" 2>/dev/null || exit 0 # another one leads, or it was cancelled
	sync "$dir" 2>/dev/null || sync # the name, too: the job would start again without it
	rm -f -- "$dir/started.$$"
	cd -- "$HOME" || exit 1
	env="$(cat "$dir/env")
SKYPILOT_TASK_ID=sky-${now#* }_$name; export SKYPILOT_TASK_ID"
	hide=''
	[ ! -e "$dir/hide" ] || hide=$(cat "$dir/hide")
	rm -f -- "$dir/env" "$dir/hide"
	head -c 16384 /dev/zero >"$dir/room" 2>/dev/null # for the record of the end, should the job fill the disk
	phase PENDING
	mkfifo "$dir/events" || { finish FAILED_DRIVER '' '' 'no pipe could be made'; exit 1; }
	exec 3<>"$dir/events"
	if ! await_turn; then
		if [ -n "$refused" ]; then
			finish FAILED_DRIVER '' '' "$refused"
		else
			finish CANCELLED '' '' 'cancelled before it ran'
		fi
		return
	fi
	watch=''
	if [ "$max_seconds" -gt 0 ]; then
		timer "$max_seconds" timeout &
		watch=$!
	fi
	count_lines
	[ "$nodes$hide" = 1 ] || know_awk
	if [ -e "$dir/setup.sh" ]; then phase SETTING_UP; fi
	while :; do
		gang || { finish FAILED_DRIVER '' '' 'the ranks could not be started'; break; }
		again || { end_phase; break; }
	done
	[ -z "$watch" ] || kill "$watch" 2>/dev/null
}

# count_lines sets env_lines, by which a rank knows where its environment ends.
count_lines() { env_lines=$(($(printf '%s\n' "$env" | wc -l))); }

# end_phase turns how the ranks ended into the phase of the job, and records it.
end_phase() {
	rm -f -- "$dir/room"
	for f in "$dir"/cut.*; do # logs that could not be written, see log.sh
		[ -e "$f" ] || continue
		f=$dir/${f##*/cut.}.log
		if [ "$(wc -c <"$f")" -ge $((log_blocks * 512)) ]; then
			printf '\nsky: what came after %s bytes was dropped\n' $((log_blocks * 512)) >>"$f"
		else
			printf '\nsky: some of it was lost, since the disk was full\n' >>"$f"
		fi
	done
	case $stopping in
	'') finish SUCCEEDED 0 '' '' ;;
	cancel) finish CANCELLED '' '' cancelled ;;
	timeout) finish FAILED '' '' "it ran longer than $max_seconds seconds" ;;
	setup) finish FAILED_SETUP "$code" "$failed" "setup failed on rank $failed" ;;
	unreachable) finish FAILED_DRIVER '' "$failed" "rank $failed could not be started from the head" ;;
	lost) finish FAILED "$code" "$failed" "the connection from the head to rank $failed was lost" ;;
	*) finish FAILED "$code" "$failed" "rank $failed ended with exit code $code" ;;
	esac
}
