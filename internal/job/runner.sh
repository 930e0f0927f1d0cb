# The runner of one job, on each of its nodes. Needs a POSIX shell and the usual
# small tools; works in dash, bash and busybox.
#
#   runner.sh start        start the job on the head, once; waits for the answer
#   runner.sh head         lead the job: queue, start every rank, end every rank
#   runner.sh rank N       be rank N; standard input is the leader's line
#   runner.sh status       print what is known
#   runner.sh cancel       ask the leader to end the job
#   runner.sh reap N       end what is left of rank N here
#   runner.sh close        record a cancelled job that has no leader
#   runner.sh log N FROM   print "SIZE OVER" and what rank N (or "all") printed since
#   runner.sh live         print how many jobs are ahead in the queue
set -u
umask 077
trap : HUP PIPE # handled, not ignored: what is ignored here would be in the user's script too
dir=$(cd -- "$(dirname -- "$0")" && pwd) || exit 1
queue=$HOME/.sky/queue
. "$dir/conf"
merged=$dir/run.log
[ "$nodes" != 1 ] || merged=$dir/rank-0.log

now() { date -u +%Y-%m-%dT%H:%M:%SZ; }
nap() { sleep 0.2 2>/dev/null || sleep 1; }
boot() { cat /proc/sys/kernel/random/boot_id 2>/dev/null || sysctl -n kern.boottime 2>/dev/null || echo unknown; }

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

# put FILE writes standard input so that FILE is whole, on disk, or not there.
put() {
	cat >"$1.tmp.$$" && { sync "$1.tmp.$$" 2>/dev/null || sync; } && mv -f -- "$1.tmp.$$" "$1"
}

phase() { echo "$1" | put "$dir/phase"; }

# ---- what lives -----------------------------------------------------------

# field FILE NAME prints a NAME=value line's value.
field() { sed -n "s/^$2=//p" "$1" 2>/dev/null | head -n 1; }

# leads DIR succeeds while the leader of the job in DIR lives.
leads() {
	[ -e "$1/started" ] && [ "$(field "$1/started" boot)" = "$(boot)" ] &&
		[ "$(born "$(field "$1/started" pid)")" = "$(field "$1/started" born)" ]
}

# marked N lists the processes of rank N here, by the mark in their environment.
marked() {
	[ -d /proc/self ] || return 0
	for m in $(grep -lsF "SKY_JOB_MARK=$id.$1." /proc/[0-9]*/environ 2>/dev/null ||
		grep -lszF "SKY_JOB_MARK=$id.$1." /proc/[0-9]*/environ 2>/dev/null); do
		m=${m#/proc/}
		echo "${m%/environ}"
	done
}

# group N prints the process group of rank N, if it is still the one recorded
# and holds more than the dead that nobody has buried yet.
group() {
	g=$(field "$dir/pid.$1" pid)
	[ -n "$g" ] && [ "$(field "$dir/pid.$1" boot)" = "$(boot)" ] && kill -0 "-$g" 2>/dev/null || return
	if [ -d /proc/self ]; then
		# state, parent and group follow the name, which ends at the last ")"
		cat /proc/[0-9]*/stat 2>/dev/null | sed 's/^.*) //' | while read -r state _ pg _; do
			if [ "$pg" = "$g" ] && [ "$state" != Z ]; then echo alive; fi
		done | grep -q alive || return
	fi
	echo "$g"
}

privileged() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# scoped N succeeds while systemd holds something of rank N.
scoped() {
	[ -e "$dir/scope.$1" ] && systemctl is-active --quiet "sky-$id-$1.scope" 2>/dev/null
}

# signal SIG N sends a signal to everything of rank N; fails when nothing is left.
signal() {
	left=1
	if scoped "$2"; then
		privileged systemctl kill -s "$1" "sky-$id-$2.scope" 2>/dev/null
		left=0
	fi
	g=$(group "$2") && kill "-$1" "-$g" 2>/dev/null && left=0
	for p in $(marked "$2"); do
		left=0
		kill "-$1" "$p" 2>/dev/null
	done
	return "$left"
}

# reap N ends rank N here: asks, waits, then insists until nothing is left.
reap() {
	signal TERM "$1" || return 0
	t=0
	while [ "$t" -lt $((grace * 5)) ]; do
		nap
		{ scoped "$1" || [ -n "$(group "$1")" ] || [ -n "$(marked "$1")" ]; } || return 0
		t=$((t + 1))
	done
	t=0
	while signal KILL "$1"; do
		nap
		t=$((t + 1))
		[ "$t" -lt 50 ] || return 1
	done
}

# ---- queue ----------------------------------------------------------------

# holds FILE succeeds while the ticket FILE counts.
holds() {
	j=$(cat "$1" 2>/dev/null) || return 1
	j=$HOME/.sky/jobs/$j
	[ ! -e "$j/exit" ] || return 1
	if [ -e "$j/started" ]; then
		leads "$j"
	else # claimed and not yet started: its client refreshes the ticket
		[ -z "$(find "$1" -mmin +1 2>/dev/null)" ]
	fi
}

# ahead prints how many jobs hold a lower ticket, and the fewest jobs any of
# them and this one wants to run at once.
ahead() {
	mine=$(cat "$dir/ticket")
	count=0 limit=$slots
	for f in "$queue"/[0-9]*; do
		n=${f##*/}
		[ -e "$f" ] && [ "$n" -lt "$mine" ] || continue
		if holds "$f"; then
			count=$((count + 1))
			s=$(field "$j/conf" slots)
			[ "${s:-1}" -ge "$limit" ] || limit=$s
		fi
	done
	echo "$count $limit"
}

await_turn() {
	while :; do
		[ ! -e "$dir/cancel" ] || return 1
		set -- $(ahead)
		[ "$1" -ge "$2" ] || return 0
		nap
	done
}

# ---- the leader -----------------------------------------------------------

# finish PHASE CODE RANK REASON records the end; the first record stands.
finish() {
	[ -e "$dir/exit" ] || printf 'phase=%s\ncode=%s\nrank=%s\nreason=%s\ncodes=%s\nrestarts=%s\nended=%s\n' \
		"$1" "$2" "$3" "$4" "${codes:-}" "${restarts:-0}" "$(now)" | put "$dir/exit"
	rm -f -- "$queue/$(cat "$dir/ticket")" "$dir/env" "$dir/events" "$dir"/go.*
}

# timer SECONDS EVENT sends an event later, unless it is ended before. The
# signal may come between any two commands here.
timer() {
	sleeper='' over=''
	trap 'over=1; [ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null' TERM
	exec 3>&-
	sleep "$1" &
	sleeper=$!
	[ -z "$over" ] || kill "$sleeper" 2>/dev/null
	wait "$sleeper"
	[ -n "$over" ] || echo "$2" 1<>"$dir/events"
}

# transport N connects standard input and outputs to the runner of rank N.
transport() {
	echo "pid=$(exec sh -c 'echo $PPID')" >"$dir/transport.$1"
	if [ "$1" = 0 ]; then
		exec sh "$dir/runner.sh" rank 0
	fi
	set -- "$1" $(sed -n "s/^$1 //p" "$dir/nodes")
	exec ssh -i "$HOME/.sky/cluster/key" -p "$3" -o StrictHostKeyChecking=yes \
		-o UserKnownHostsFile="$dir/known_hosts" -o BatchMode=yes -o ConnectTimeout=20 \
		-o ServerAliveInterval=10 "$4@$2" "exec sh .sky/jobs/$id/runner.sh rank $1"
}

# feed N sends rank N its environment, then the leader's orders.
feed() {
	text="$env
SKYPILOT_NODE_RANK=$1 SKYPILOT_SETUP_NODE_RANK=$1; export SKYPILOT_NODE_RANK SKYPILOT_SETUP_NODE_RANK"
	echo $(($(printf '%s\n' "$text" | wc -l)))
	printf '%s\n' "$text"
	read -r order
	echo "$order"
	[ "$order" = go ] || return
	read -r order
	echo "$order"
}

# listen N turns what rank N reports into events.
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
			printf '%s\n' "$line" >>"$dir/rank-$1.log"
			[ "$nodes" = 1 ] || printf '(rank %s) %s\n' "$1" "$line" >>"$merged"
			;;
		esac
	done
	[ -z "$end" ] || return
	echo end 1<>"$dir/go.$1"
	echo "exit $1 lost" >&3
}

# collect N keeps the output of rank N: as it is, and merged line by line.
# Beyond the cap it is read and dropped, so that the job does not notice.
collect() {
	trap '' XFSZ
	ulimit -f "$log_blocks" 2>/dev/null
	if [ "$nodes" = 1 ]; then
		cat >>"$dir/rank-0.log" 2>/dev/null
	elif sed -u p </dev/null >/dev/null 2>&1; then
		tee -a "$dir/rank-$1.log" 2>/dev/null | { LC_ALL=C sed -u "s/^/(rank $1) /" >>"$merged" 2>/dev/null; cat >/dev/null; }
	else
		tee -a "$dir/rank-$1.log" 2>/dev/null | while IFS= read -r line || [ -n "$line" ]; do
			printf '(rank %s) %s\n' "$1" "$line" >>"$merged"
		done 2>/dev/null
	fi
	cat >/dev/null
}

supervise() {
	{ feed "$1" <>"$dir/go.$1" | transport "$1" 2>&1 1>&4 3>&- 4>&- | listen "$1" 4>&-; } 4>&1 | collect "$1"
	rm -f -- "$dir/transport.$1"
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
		case " $codes " in *" $i:"*) ;; *) kill -9 "$(field "$dir/transport.$i" pid)" 2>/dev/null ;; esac
		i=$((i + 1))
	done
	reap 0
}

# hang_up ends the connections of ranks that have ended.
hang_up() {
	open=0
	for f in "$dir"/transport.*; do
		[ ! -e "$f" ] || kill -9 "$(field "$f" pid)" 2>/dev/null
	done
}

# gang runs all ranks once. Sets stopping, failed and code.
gang() {
	codes='' stopping='' failed='' code=0 ready=0 left=$nodes open=$nodes what='' r=0
	gangs=$((gangs + 1))
	while [ "$r" -lt "$nodes" ]; do
		rm -f -- "$dir/go.$r"
		mkfifo "$dir/go.$r" || return 1
		supervise "$r" &
		r=$((r + 1))
	done
	# Until all ranks have ended and their logs are whole.
	while [ "$left" -gt 0 ] || [ "$open" -gt 0 ]; do
		read -r what r c <&3
		case $what in
		ready) rank_ready ;;
		exit) rank_ended ;;
		done) [ "$c" != "$gangs" ] || open=$((open - 1)) ;;
		drained) [ "$left" -gt 0 ] || hang_up ;;
		cancel) stop cancel ;;
		timeout) timed_out=1 && stop timeout ;;
		abandon) [ -z "$stopping" ] || abandon ;;
		esac
	done
	for p in $timers; do kill "$p" 2>/dev/null; done
	timers=''
}

# rank_ready lets all go once the last one is ready.
rank_ready() {
	ready=$((ready + 1))
	if [ -n "$stopping" ]; then
		echo stop 1<>"$dir/go.$r"
	elif [ "$ready" = "$nodes" ]; then
		[ -e "$dir/running" ] || now | put "$dir/running"
		phase RUNNING
		order go
	fi
}

# rank_ended notes how rank $r ended; $c is a code, "setup CODE" or "lost".
rank_ended() {
	left=$((left - 1))
	if [ "$left" = 0 ]; then # a process that escaped may hold a log open forever
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
	restarts=0 codes='' timers='' timed_out=0 gangs=0
	printf 'boot=%s\npid=%s\nborn=%s\nat=%s\n' "$(boot)" "$$" "$(born $$)" "$(now)" >"$dir/started.$$"
	sync "$dir/started.$$" 2>/dev/null
	ln "$dir/started.$$" "$dir/started" 2>/dev/null || exit 0 # another one leads, or it was cancelled
	rm -f -- "$dir/started.$$"
	cd -- "$HOME" || exit 1
	env="$(cat "$dir/env")
SKYPILOT_TASK_ID=sky-$(date -u +%Y-%m-%d-%H-%M-%S)_$name; export SKYPILOT_TASK_ID"
	rm -f -- "$dir/env"
	phase PENDING
	mkfifo "$dir/events" || { finish FAILED_DRIVER '' '' 'no pipe could be made'; exit 1; }
	exec 3<>"$dir/events"
	if ! await_turn; then
		finish CANCELLED '' '' 'cancelled before it ran'
		return
	fi
	watch=''
	if [ "$max_seconds" -gt 0 ]; then
		timer "$max_seconds" timeout &
		watch=$!
	fi
	if [ -e "$dir/setup.sh" ]; then phase SETTING_UP; fi
	while :; do
		gang || { finish FAILED_DRIVER '' '' 'the ranks could not be started'; break; }
		again || { conclude; break; }
	done
	[ -z "$watch" ] || kill "$watch" 2>/dev/null
}

conclude() {
	for f in "$dir"/rank-*.log; do
		[ ! -e "$f" ] || [ "$(wc -c <"$f")" -lt $((log_blocks * 512)) ] ||
			printf '\nsky: what came after %s bytes was dropped\n' $((log_blocks * 512)) >>"$f"
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

# ---- a rank ---------------------------------------------------------------

# step FILE runs FILE as the rank's work, ends it when the leader says so or is
# gone, and sets code.
step() {
	rm -f -- "$dir/stop.$rank"
	( # the user's variables may have any name: ours are arguments from here on
		set -- "$dir" "$1" "$rank" "$id" "$process_manager"
		eval "$text"
		unset text
		if command -v setsid >/dev/null 2>&1; then exec setsid sh "$1/step.sh" "$@"; fi
		set -m
		sh "$1/step.sh" "$@" &
		wait $!
	) </dev/null 2>&1 6<&- &
	child=$!
	{
		read -r _
		: >"$dir/stop.$rank"
		reap "$rank"
	} <&6 >/dev/null 2>&1 &
	watcher=$!
	wait "$child" 2>/dev/null # the shell would comment on signals
	code=$?
	if [ -e "$dir/stop.$rank" ]; then
		wait "$watcher"
		code=137
	else
		kill "$watcher" 2>/dev/null
	fi
	reap "$rank" >/dev/null 2>&1 # whatever it left behind
	rm -f -- "$dir/pid.$rank" "$dir/scope.$rank"
}

be_rank() {
	rank=$1
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

# ---- what a client asks ---------------------------------------------------

start() {
	if [ ! -e "$dir/started" ] && [ ! -e "$dir/exit" ]; then
		if [ -n "$(find "$queue/$(cat "$dir/ticket")" -mmin +1 2>/dev/null)" ]; then renew; fi
		touch -- "$queue/$(cat "$dir/ticket")"
		detach sh "$dir/runner.sh" head </dev/null >>"$dir/runner.log" 2>&1
	fi
	t=0
	while [ ! -e "$dir/started" ] && [ ! -e "$dir/exit" ]; do
		t=$((t + 1))
		[ "$t" -lt 100 ] || { echo "the runner did not start: $(tail -c 400 "$dir/runner.log")" >&2; exit 1; }
		nap
	done
}

# renew queues again at the end: others may have run past a stale ticket.
renew() {
	old=$queue/$(cat "$dir/ticket")
	n=$(ls "$queue" | sort -n | tail -n 1)
	until n=$((n + 1)) && ln "$old" "$queue/$n"; do :; done
	echo "$n" | put "$dir/ticket"
	rm -f -- "$old"
}

detach() {
	if [ "$process_manager" = auto ] && [ -d /run/systemd/system ] &&
		privileged systemd-run --quiet --collect --unit="sky-$id-head" --uid="$(id -u)" --gid="$(id -g)" \
			--setenv=HOME="$HOME" --setenv=PATH="$PATH" --property=KillMode=process \
			sh -c 'exec "$@" >>"$0" 2>&1' "$dir/runner.log" "$@"; then
		return
	fi
	if command -v setsid >/dev/null 2>&1; then
		setsid "$@" &
	else
		nohup "$@" &
	fi
}

status() {
	echo "submitted=$(cat "$dir/submitted")"
	echo "started=$(cat "$dir/running" 2>/dev/null)"
	# The order matters: a job may end between two looks.
	if leads "$dir"; then
		p=$(cat "$dir/phase" 2>/dev/null)
		[ -e "$dir/exit" ] || { echo "phase=${p:-PENDING}"; return; }
	fi
	if [ -e "$dir/exit" ]; then
		cat "$dir/exit"
	elif [ ! -e "$dir/started" ]; then
		echo phase=INIT
	elif [ "$(field "$dir/started" boot)" != "$(boot)" ]; then
		echo phase=LOST_REBOOT
		echo "reason=the head was restarted while the job ran"
	else
		echo phase=UNKNOWN
		echo "reason=the job's runner is gone and left no record of an end"
	fi
}

cancel() {
	: >"$dir/cancel"
	if [ ! -e "$dir/started" ]; then # block every later start
		printf 'boot=none\npid=0\nborn=none\nat=%s\n' "$(now)" >"$dir/started.$$"
		if ln "$dir/started.$$" "$dir/started" 2>/dev/null; then finish CANCELLED '' '' 'cancelled before it started'; fi
		rm -f -- "$dir/started.$$"
	fi
	[ ! -p "$dir/events" ] || echo cancel 1<>"$dir/events"
	t=0
	while leads "$dir" && [ ! -e "$dir/exit" ] && [ "$t" -lt $((grace * 5 + 250)) ]; do
		nap
		t=$((t + 1))
	done
}

close_job() {
	if ! leads "$dir"; then finish CANCELLED '' '' 'cancelled; its runner was gone'; fi
}

# log N FROM prints the log's size, whether it is whole, and 1 MiB of it.
log() {
	f=$dir/rank-$1.log
	[ "$1" != all ] || f=$merged
	over=0
	if [ -e "$dir/exit" ] || ! leads "$dir"; then over=1; fi
	size=$(wc -c 2>/dev/null <"$f")
	echo $((size)) "$over"
	[ ! -e "$f" ] || [ $((size)) -le "$2" ] || tail -c +$(($2 + 1)) "$f" | head -c 1048576
}

case $1 in
start) start ;;
log) log "$2" "$3" ;;
head) lead ;;
rank) be_rank "$2" ;;
status) status ;;
cancel) cancel ;;
reap) reap "$2" ;;
close) close_job ;;
live) ahead ;;
*) exit 64 ;;
esac
