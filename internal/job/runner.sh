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
#   runner.sh queue        print how many jobs are ahead in the queue; "queue again"
#                          queues again before, at the end, where others may have passed
#
# lead.sh, log.sh and rank.sh hold what "head" and "rank" do, place.sh what "head"
# does otherwise with Ray.
set -u
umask 077
trap : HUP PIPE # handled, not ignored: what is ignored here would be in the user's script too
case $0 in
/*) dir=${0%/*} ;;
*/*) dir=$PWD/${0%/*} ;;
*) dir=$PWD ;;
esac
queue=$HOME/.sky/queue
# shellcheck source=/dev/null # what submit.go has written
. "$dir/conf" || exit 1
: "${id:?}" "${name:?}" "${title?}" "${nodes:?}" "${slots:?}" "${grace:?}" "${log_blocks:?}" "${max_seconds:?}" \
	"${recover?}" "${max_restarts:?}" "${process_manager:?}" "${runtime:?}" "${workdir_record:?}"
merged=$dir/run.log
[ "$nodes" != 1 ] || merged=$dir/rank-0.log

# phase PHASE notes what the job is at: the last line counts.
phase() { echo "$1" >>"$dir/phase"; }

# ---- what lives -----------------------------------------------------------

# leads DIR succeeds while the leader of the job in DIR lives.
leads() { field "$1/started" boot && boot && [ "$field" = "$boot" ] && lives "$1/started"; }

# limit_of N sets blocks, the number of 512 bytes that no file of rank N may
# outgrow. None does, it is petabytes: the number is a mark that children inherit,
# whatever session and environment they give themselves.
limit_of() { blocks=$((17592186044416 + 0x${id#"${id%???????}"} * 4096 + $1)); }

# marked N sets marked to the processes of rank N here, by the mark in their
# environment or in their limits; fails where there are none. Lines that end with a
# NUL are what environments have; not every grep knows them.
marked() {
	marked=
	[ -d /proc/self ] || return
	limit_of "$1"
	set -- -e "SKY_JOB_MARK=$id.$1." -e " $((blocks * 512)) " /proc/[0-9]*/environ /proc/[0-9]*/limits
	found=$(grep -lszF "$@" 2>/dev/null)
	[ $? -le 1 ] || found="$found $(grep -lsF "$@" 2>/dev/null)"
	for m in $found; do
		m=${m#/proc/}
		case " $marked " in *" ${m%/*} "*) continue ;; esac
		case $m in */limits) { dead "${m%/*}" || served "${m%/*}"; } && continue ;; esac
		marked="$marked ${m%/*}"
	done
	[ -n "$marked" ]
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
		program='' up=0
		while read -r key value _; do
			case $key in
			Name:) program=$value ;;
			PPid:) up=$value ;;
			esac
		done 2>/dev/null <"/proc/$p/status" || exit 1
		case $program in sshd*) ! grep -qsF " $((blocks * 512)) " "/proc/$p/limits" || exit 0 ;; esac
		p=$up
	done
	exit 1
)

# group N sets group to the process group of rank N, if it is still the one
# recorded and holds more than the dead that nobody has buried yet; else it fails.
# The number may be another group's by now: its first process tells, or where that
# is gone, the marks of the others.
group() {
	group=
	field "$dir/pid.$1" boot && boot && [ "$field" = "$boot" ] && field "$dir/pid.$1" pid && kill -0 "-$field" 2>/dev/null || return
	group=$field
	if born "$group"; then
		field "$dir/pid.$1" born && [ "$field" = "$born" ] && return
	elif [ ! -d /proc/self ]; then
		return
	elif marked "$1"; then
		for m in $marked; do
			! is_in_group "$m" || return 0
		done
	fi
	group=
	return 1
}

# is_in_group PID succeeds for a process of the group.
is_in_group() {
	line "/proc/$1/stat" || return
	# state, parent and group follow the name, which ends at the last ")"
	# shellcheck disable=SC2086 # many words
	set -- ${line##*) }
	[ "${3:-}" = "$group" ]
}

# works DIR succeeds while work of the job in DIR runs here, be its leader gone.
works() {
	own=$dir works=1
	dir=$1 id=${1##*/}
	for p in "$dir"/pid.*; do
		if group "${p##*.}"; then works=0; fi
	done
	dir=$own id=${own##*/}
	return "$works"
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
	group "$2" && kill "-$1" "-$group" 2>/dev/null && left=0
	marked "$2" || return "$left"
	for p in $marked; do # not what became somebody else's
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
		{ scoped "$1" || group "$1" || marked "$1"; } || return 0
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

# holds FILE succeeds while the ticket FILE counts, and sets j to its job's folder.
holds() {
	line "$1" || return
	j=$HOME/.sky/jobs/$line
	[ ! -e "$j/exit" ] || return
	# A claim or a renewal that was cut off leaves a second one.
	! line "$j/ticket" || [ "$line" = "${1##*/}" ] || return
	if [ -e "$j/started" ]; then
		leads "$j" || works "$j"
	else # claimed and not yet started: its client refreshes the ticket
		! old "$1"
	fi
}

# old FILE succeeds where nobody has touched a file for a minute.
old() { [ -n "$(find "$1" -mmin +1 2>/dev/null)" ]; }

# fresh renews the job's ticket: it queues again at the end where others may have
# run past it.
fresh() {
	line "$dir/ticket" && n=$line || exit 1
	if [ ! -e "$dir/started" ] && { ! line "$queue/$n" || [ "$line" != "$id" ] || old "$queue/$n"; }; then
		echo "$id" >"$dir/ticket.$$" || exit 1
		take_ticket "$dir/ticket.$$"
		n=$ticket
		rm -f -- "$dir/ticket.$$"
		put "$dir/ticket" "$n"
		tear_up "$n"
	fi
	touch -c -- "$queue/$n"
}

# tear_up removes the job's tickets, but for the number given. Numbers are used
# again: the one the job had may be another's by now.
tear_up() {
	for f in "$queue"/[0-9]*; do
		[ "${f##*/}" = "${1:-}" ] || ! line "$f" || [ "$line" != "$id" ] || rm -f -- "$f"
	done
}

# ahead sets count to how many jobs hold a lower ticket, limit to the fewest jobs
# any of them and this one wants to run at once, and front to the ids of those jobs.
ahead() {
	line "$dir/ticket"
	mine=$line count=0 limit=$slots front=
	for f in "$queue"/[0-9]*; do
		n=${f##*/}
		[ -e "$f" ] && [ "$n" -lt "$mine" ] || continue
		if holds "$f"; then
			count=$((count + 1)) front="$front ${j##*/}"
			! field "$j/conf" slots || [ "$field" -ge "$limit" ] || limit=$field
		fi
	done
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
		field "$HOME/.sky/jobs/$i/conf" title || :
		text="$text ${field:+$field }($i)"
	done
	[ "$more" -le 3 ] || text="$text and $((more - 3)) more"
	put "$dir/waits" "$text"
}

# ---- the end ---------------------------------------------------------------

# finish PHASE CODE RANK REASON records the end; the first record stands.
finish() {
	[ ! -e "$dir/room" ] || rm -f -- "$dir/room"
	[ -e "$dir/exit" ] || put "$dir/exit" "phase=$1
code=$2
rank=$3
reason=$4
codes=${codes:-}
restarts=${restarts:-0}
ended=$(now)"
	tear_up
	rm -f -- "$dir/env" "$dir/hide" "$dir/events" "$dir"/go.* "$dir"/transport.* "$dir"/known.*
}

# ---- what a client asks ---------------------------------------------------

start() {
	if [ ! -e "$dir/started" ] && [ ! -e "$dir/exit" ]; then
		fresh
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
	# shellcheck disable=SC2016 # for the shell that it starts
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
		# shellcheck disable=SC2016 # for the shell that it starts
		( "$@" >&9 2>&8 8>&- 9>&- | exec sh -c '[ "$PPID" -le 1 ] || [ "$PPID" = "$1" ] || kill -9 "$PPID"' sh "$$" 8>&- 9>&- )
	} 8>&2 9>&1 2>/dev/null
}

status() {
	line "$dir/submitted"
	echo "submitted=$line"
	line "$dir/running" || :
	echo "started=$line"
	# The order matters: a job may end between two looks.
	if leads "$dir"; then
		last "$dir/phase"
		if [ ! -e "$dir/exit" ]; then
			echo "phase=${last:-PENDING}"
			[ "${last:-PENDING}" != PENDING ] || ! line "$dir/waits" || echo "reason=$line"
			return
		fi
	fi
	if [ -e "$dir/exit" ]; then
		while IFS= read -r line || [ -n "$line" ]; do printf '%s\n' "$line"; done <"$dir/exit"
		[ "$1" = unread ] || [ -e "$dir/fetched" ] || : >"$dir/fetched" # autostop waits for it
	elif [ ! -e "$dir/started" ]; then
		echo phase=INIT
	elif field "$dir/started" boot && boot && [ "$field" != "$boot" ]; then
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
queue)
	[ "${2:-}" != again ] || fresh
	ahead
	echo "$count"
	;;
*) exit 64 ;;
esac
