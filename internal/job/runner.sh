# The runner of one job, on each of its nodes. Needs a POSIX shell and the usual
# small tools; works in dash, bash and busybox.
#
#   runner.sh start        start the job on the head, once; waits for the answer
#   runner.sh head         lead the job: queue, start every rank, end every rank
#   runner.sh rank N       be rank N; standard input is the leader's line
#   runner.sh status       print what is known; "status unread" leaves no mark of it
#   runner.sh cancel       ask the leader to end the job
#   runner.sh reap N       end what is left of rank N here; with Ray, of every rank here
#   runner.sh close        record a cancelled job that has no leader
#   runner.sh log N FROM   print "SIZE OVER" and what rank N (or "all") printed since
#   runner.sh live         print how many jobs are ahead in the queue
#   runner.sh renew        queue again at the end, where others may have passed
#
# lead.sh, log.sh and rank.sh hold what "head" and "rank" do, place.sh what "head"
# does otherwise with Ray.
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
	cat >"$1.tmp.$$" && { sync "$1.tmp.$$" 2>/dev/null || sync; } && mv -f -- "$1.tmp.$$" "$1" || return 1
	sync "${1%/*}" 2>/dev/null || :
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

# limit_of N sets blocks, the number of 512 bytes that no file of rank N may
# outgrow. None does, it is petabytes: the number is a mark that children inherit,
# whatever session and environment they give themselves.
limit_of() { blocks=$((17592186044416 + 0x${id#"${id%???????}"} * 4096 + $1)); }

# marked N lists the processes of rank N here, by the mark in their environment
# or in their limits.
marked() {
	[ -d /proc/self ] || return 0
	limit_of "$1"
	seen=' '
	for m in $(grep -lsF -e "SKY_JOB_MARK=$id.$1." -e " $((blocks * 512)) " /proc/[0-9]*/environ /proc/[0-9]*/limits 2>/dev/null ||
		grep -lszF "SKY_JOB_MARK=$id.$1." /proc/[0-9]*/environ 2>/dev/null); do
		m=${m#/proc/}
		case $seen in *" ${m%/*} "*) continue ;; esac
		seen="$seen${m%/*} "
		case $m in */limits) { dead "${m%/*}" || served "${m%/*}"; } && continue ;; esac
		echo "${m%/*}"
	done
}

# dead succeeds for a process that is gone, or that only its parent has not buried.
dead() {
	while read -r key state _; do
		[ "$key" != State: ] || break
	done 2>/dev/null <"/proc/$1/status" || return 0
	[ "${state:-Z}" = Z ] || [ "$state" = X ]
}

# served succeeds for a marked sshd and what hangs on it: where a job has restarted
# the machine's, every later login and all that it starts inherit the limits.
served() (
	p=$1
	while [ "${p:-0}" -gt 1 ]; do
		name='' up=0
		while read -r key value _; do
			case $key in
			Name:) name=$value ;;
			PPid:) up=$value ;;
			esac
		done 2>/dev/null <"/proc/$p/status" || exit 1
		case $name in sshd*) ! grep -qsF " $((blocks * 512)) " "/proc/$p/limits" || exit 0 ;; esac
		p=$up
	done
	exit 1
)

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

# works succeeds while work of the job in DIR runs here, be its leader gone.
works() (
	dir=$1 id=${1##*/}
	for f in "$dir"/pid.*; do
		[ -n "$(group "${f##*.}")" ] || continue
		# The group's number may be another's by now, and that one would hold the queue forever.
		if [ ! -d /proc/self ] || [ -n "$(marked "${f##*.}")" ]; then exit 0; fi
	done
	exit 1
)

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
	for p in $(marked "$2"); do # not what became somebody else's
		kill "-$1" "$p" 2>/dev/null && left=0
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

# reap_here N ends what is left of the job on its Nth node, which is rank N
# unless Ray has chosen another.
reap_here() {
	if [ "$runtime" != ray ]; then
		reap "$1"
		return
	fi
	bad=0
	for f in "$dir"/here.*; do
		[ ! -e "$f" ] || reap "${f##*.}" || bad=1
	done
	return "$bad"
}

# ---- queue ----------------------------------------------------------------

# holds FILE succeeds while the ticket FILE counts.
holds() {
	j=$(cat "$1" 2>/dev/null) || return 1
	j=$HOME/.sky/jobs/$j
	[ ! -e "$j/exit" ] || return 1
	# A claim or a renewal that was cut off leaves a second one.
	n=${1##*/}
	[ "$(cat "$j/ticket" 2>/dev/null || echo "$n")" = "$n" ] || return 1
	if [ -e "$j/started" ]; then
		leads "$j" || works "$j"
	else # claimed and not yet started: its client refreshes the ticket
		[ -z "$(find "$1" -mmin +1 2>/dev/null)" ]
	fi
}

# stale succeeds when others may have run past the job's ticket.
stale() {
	t=$queue/$(cat "$dir/ticket")
	[ "$(cat "$t" 2>/dev/null)" != "$id" ] || [ -n "$(find "$t" -mmin +1 2>/dev/null)" ]
}

# renew queues again at the end, where the job has not started.
renew() {
	{ [ ! -e "$dir/started" ] && stale; } || return 0
	echo "$id" >"$dir/ticket.$$" || exit 1
	n=$(ls "$queue" | sort -n | tail -n 1) tries=0
	until n=$((n + 1)) && ln -- "$dir/ticket.$$" "$queue/$n" 2>/dev/null; do
		[ "$((tries += 1))" -lt 1000 ] || { echo "no place in the queue" >&2; exit 1; }
	done
	rm -f -- "$dir/ticket.$$"
	echo "$n" | put "$dir/ticket"
	tear_up "$n"
}

# tear_up removes the job's tickets, but for the number given. Numbers are used
# again: the one the job had may be another's by now.
tear_up() {
	for f in "$queue"/[0-9]*; do
		[ "${f##*/}" = "${1:-}" ] || [ "$(cat "$f" 2>/dev/null)" != "$id" ] || rm -f -- "$f"
	done
}

# ahead prints how many jobs hold a lower ticket, the fewest jobs any of them and
# this one wants to run at once, and the ids of those jobs.
ahead() {
	mine=$(cat "$dir/ticket")
	count=0 limit=$slots front=
	for f in "$queue"/[0-9]*; do
		n=${f##*/}
		[ -e "$f" ] && [ "$n" -lt "$mine" ] || continue
		if holds "$f"; then
			count=$((count + 1)) front="$front ${j##*/}"
			s=$(field "$j/conf" slots)
			[ "${s:-1}" -ge "$limit" ] || limit=$s
		fi
	done
	echo "$count $limit$front"
}

# waits_for WORDS ID... notes why the job has not begun: which jobs it waits for,
# three of them by name.
waits_for() {
	[ "$*" != "${waited:-}" ] || return 0
	waited=$*
	text=$1 more=0
	shift
	for i; do
		more=$((more + 1))
		[ "$more" -le 3 ] || continue
		title=$(field "$HOME/.sky/jobs/$i/conf" title)
		text="$text ${title:+$title }($i)"
	done
	[ "$more" -le 3 ] || text="$text and $((more - 3)) more"
	echo "$text" | put "$dir/waits"
}

# ---- the end ---------------------------------------------------------------

# finish PHASE CODE RANK REASON records the end; the first record stands.
finish() {
	rm -f -- "$dir/room"
	[ -e "$dir/exit" ] || printf 'phase=%s\ncode=%s\nrank=%s\nreason=%s\ncodes=%s\nrestarts=%s\nended=%s\n' \
		"$1" "$2" "$3" "$4" "${codes:-}" "${restarts:-0}" "$(now)" | put "$dir/exit"
	tear_up
	rm -f -- "$dir/env" "$dir/hide" "$dir/events" "$dir"/go.*
}

# ---- what a client asks ---------------------------------------------------

start() {
	if [ ! -e "$dir/started" ] && [ ! -e "$dir/exit" ]; then
		renew
		touch -c -- "$queue/$(cat "$dir/ticket")"
		detach sh "$dir/runner.sh" head </dev/null >>"$dir/runner.log" 2>&1
	fi
	t=0
	while [ ! -e "$dir/started" ] && [ ! -e "$dir/exit" ]; do
		t=$((t + 1))
		[ "$t" -lt 100 ] || { echo "the runner did not start: $(tail -c 400 "$dir/runner.log")" >&2; exit 1; }
		nap
	done
}

detach() {
	if [ "$process_manager" = auto ] && [ -d /run/systemd/system ] &&
		privileged systemd-run --quiet --collect --unit="sky-$id-head" --uid="$(id -u)" --gid="$(id -g)" \
			--setenv=HOME="$HOME" --setenv=PATH="$PATH" --property=KillMode=process --property=IgnoreSIGPIPE=no \
			sh -c 'exec "$@" >>"$0" 2>&1' "$dir/runner.log" "$@"; then
		return
	fi
	if command -v setsid >/dev/null 2>&1; then
		apart setsid "$@"
	else
		apart nohup "$@"
	fi
}

# apart COMMAND... runs a command beside this shell, which does not wait for it.
# What "&" starts ignores SIGINT and SIGQUIT, and no shell takes that back; what
# is in a pipeline does not, and goes on when the shell that waits for it is killed.
# That shell is the parent of the last command as long as it waits, so nobody else is.
apart() {
	{
		( "$@" >&9 2>&8 8>&- 9>&- | exec sh -c '[ "$PPID" -le 1 ] || [ "$PPID" = "$1" ] || kill -9 "$PPID"' sh "$$" 8>&- 9>&- )
	} 8>&2 9>&1 2>/dev/null
}

status() {
	echo "submitted=$(cat "$dir/submitted")"
	echo "started=$(cat "$dir/running" 2>/dev/null)"
	# The order matters: a job may end between two looks.
	if leads "$dir"; then
		p=$(cat "$dir/phase" 2>/dev/null)
		if [ ! -e "$dir/exit" ]; then
			echo "phase=${p:-PENDING}"
			[ "${p:-PENDING}" != PENDING ] || [ ! -e "$dir/waits" ] || sed 's/^/reason=/' "$dir/waits"
			return
		fi
	fi
	if [ -e "$dir/exit" ]; then
		cat "$dir/exit"
		[ "$1" = unread ] || [ -e "$dir/fetched" ] || : >"$dir/fetched" # autostop waits for it
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
	if [ "$1" = all ]; then
		f=$merged
	elif [ "$1" -ge "$nodes" ]; then
		echo "the job has no rank $1, only 0 to $((nodes - 1))" >&2
		exit 1
	fi
	over=0
	if [ -e "$dir/exit" ] || ! leads "$dir"; then over=1; fi
	size=$(wc -c 2>/dev/null <"$f")
	echo $((size)) "$over"
	[ ! -e "$f" ] || [ $((size)) -le "$2" ] || tail -c +$(($2 + 1)) "$f" | head -c 1048576
}

case $1 in
start) start ;;
log) log "$2" "$3" ;;
head)
	. "$dir/lead.sh"
	. "$dir/log.sh"
	[ "$runtime" != ray ] || . "$dir/place.sh"
	lead
	;;
rank)
	. "$dir/rank.sh"
	be_rank "$2"
	;;
status) status "${2:-}" ;;
cancel) cancel ;;
reap)
	reap_here "$2"
	left=$?
	: >"$dir/ended"
	exit "$left"
	;;
close) close_job ;;
live) ahead ;;
renew) renew ;;
*) exit 64 ;;
esac
