# The watchdog of a cluster, on its head: ends all nodes after they were idle
# for as long as conf says. Needs a POSIX shell and the usual small tools.
#
#   watchdog.sh run        watch until this machine ends; the newest run wins. On
#                          another node than the head it ends that node once the
#                          head has been silent for as long as conf says
#   watchdog.sh jobs N [ADDRESS...]  print the jobs that have not ended and use more
#                          than N nodes, or one that Ray placed at such an address
#
# Beside it lie conf, end.sh (ends the machine it runs on; on every node),
# nodes and known_hosts (the other nodes), and perhaps sessions.sh, and hook.sh
# with start.sh, which runs it.
set -u
umask 077
trap : HUP # handled, not ignored: what is ignored here would be in the hook, too
dir=$(cd -- "$(dirname -- "$0")" && pwd) || exit 1
jobs=$HOME/.sky/jobs

read_conf() {
	# shellcheck source=/dev/null # what install.go has written
	. "$dir/conf" || exit 1
	: "${idle:?}" "${pause:?}" "${role:?}" "${wait_for:?}" "${action:?}" "${hook_timeout:?}" "${hook_hold:?}" "${hook_retry:?}" \
		"${unread_hold:?}" "${lease:?}"
}

# ---- time: seconds of a clock that nobody sets ----------------------------

# clock sets clock.
clock() {
	if [ -n "${SKY_AUTOSTOP_CLOCK:-}" ]; then
		line "$SKY_AUTOSTOP_CLOCK"
		clock=$line
	elif read -r clock _ 2>/dev/null </proc/uptime; then
		clock=${clock%%.*}
	else
		clock=$(date +%s)
	fi
}

# rest SECONDS waits; in a test until the test has counted as far as it has.
rests=0
rest() {
	if [ -n "${SKY_AUTOSTOP_TICK:-}" ]; then
		rests=$((rests + 1))
		put "$SKY_AUTOSTOP_TICK.rests" "$rests"
		until line "$SKY_AUTOSTOP_TICK" && [ "$line" -ge "$rests" ]; do sleep 0.01; done
	else
		sleep "$1"
	fi
}

# passed TIME sets passed to the seconds since then.
passed() {
	clock
	passed=$((clock - $1))
}

say() { echo "$(now) $*"; }

# mine succeeds while no newer run has taken over and autostop is on.
mine() { line "$dir/pid" && [ "$line" = "$$" ] && [ -e "$dir/conf" ]; }

# ---- what keeps a cluster busy --------------------------------------------

# alive JOB succeeds while the job in that folder has not ended. One that was
# never started counts as long as its client keeps its ticket fresh.
alive() {
	[ -e "$1/ticket" ] && [ ! -e "$1/exit" ] || return 1
	case $(sh "$1/runner.sh" status unread 2>/dev/null | sed -n 's/^phase=//p') in
	PENDING | SETTING_UP | RUNNING) return 0 ;;
	INIT)
		line "$1/ticket"
		[ -e "$HOME/.sky/queue/$line" ] && [ -z "$(find "$HOME/.sky/queue/$line" -mmin +1 2>/dev/null)" ]
		;;
	*) return 1 ;;
	esac
}

# running N [ADDRESS...] prints the living jobs that use more than N nodes, or
# one of those addresses. Only Ray places a job on other nodes than the first.
running() {
	most=$1
	shift
	for j in "$jobs"/*/; do
		j=${j%/}
		alive "$j" || continue
		field "$j/conf" nodes || :
		if [ "${field:-1}" -gt "$most" ] || placed "$j" "$@"; then echo "${j##*/}"; fi
	done
}

# placed JOB [ADDRESS...] succeeds where Ray gave the job one of the addresses.
placed() {
	[ -e "$1/placement" ] || return 1
	at=$1/placement
	shift
	for a in "$@"; do
		if grep -qxF -- "$a" "$at"; then return 0; fi
	done
	return 1
}

# seen prints something that changes when a job is submitted or ends.
seen() { printf '%s\n' "$jobs"/*/submitted "$jobs"/*/exit "$jobs"/*/fetched | cksum; }

# unread prints an ended job whose end nobody has read: it would go with the disk.
unread() {
	for j in "$jobs"/*/exit; do
		j=${j%/exit}
		if [ -e "$j/exit" ] && [ ! -e "$j/fetched" ] && [ ! -e "$j/removed" ]; then
			echo "${j##*/}"
			return
		fi
	done
	return 1
}

# held succeeds while the provider works on the cluster.
held() {
	for f in "$dir"/busy/*; do
		[ -e "$f" ] || continue
		if kill -0 "${f##*/}" 2>/dev/null; then return 0; fi
		rm -f -- "$f"
	done
	return 1
}

# sessions prints a line for each open SSH session.
sessions() {
	if [ -e "$dir/sessions.sh" ]; then
		sh "$dir/sessions.sh" 2>/dev/null
	else
		# "sshd: ubuntu@pts/0" and the like; what has more words is sshd itself.
		# shellcheck disable=SC2009 # pgrep matches what ps shows with less sure options
		ps -eo args= 2>/dev/null | grep -E '^sshd(-session)?: [^ ]+$'
	fi
}

# busy says why the cluster is not idle, or fails. A change among the jobs
# counts, however short they were.
busy() {
	if held; then
		echo "it is being changed"
		return
	fi
	[ "$wait_for" != none ] || return 1
	now_seen=$(seen)
	line "$dir/seen" || :
	if [ "$now_seen" != "$line" ]; then
		echo "$now_seen" >"$dir/seen"
		echo "a job was submitted or ended"
		return
	fi
	one=$(running 0 | head -n 1)
	if [ -n "$one" ]; then
		echo "job $one runs"
		return
	fi
	[ "$wait_for" = jobs_and_ssh ] && [ -n "$(sessions | head -n 1)" ] && echo "an SSH session is open"
}

# ---- the end ----------------------------------------------------------------

# hook runs the user's hook, for hook_timeout seconds at most. It fails while a
# hook that failed holds the end, which it does for hook_hold seconds.
hook() {
	[ -e "$dir/hook.sh" ] || return 0
	say "the hook runs"
	rm -f -- "$dir/hook.code"
	if [ "$(wc -c 2>/dev/null <"$dir/hook.log" || echo 0)" -gt 1048576 ]; then mv -f -- "$dir/hook.log" "$dir/hook.log.old"; fi
	leader=
	! command -v setsid >/dev/null 2>&1 || leader=setsid
	# shellcheck disable=SC2016 # for the shell that it starts
	SKY_AUTOSTOP=$action $leader sh -c 'sh "$0/start.sh" "$0/hook.sh" >>"$0/hook.log" 2>&1
		echo "$?" >"$0/hook.code"' "$dir" </dev/null >/dev/null 2>&1 &
	child=$!
	clock
	begun=$clock
	while [ ! -s "$dir/hook.code" ] && kill -0 "$child" 2>/dev/null; do
		passed "$begun"
		if [ "$passed" -ge "$hook_timeout" ]; then
			say "the hook takes longer than $hook_timeout seconds and is ended"
			for s in TERM KILL; do
				kill "-$s" "-$child" 2>/dev/null || kill "-$s" "$child" 2>/dev/null
				sleep 1
			done
			break
		fi
		lease # a hook may take longer than the other nodes wait for a word
		rest 1
	done
	line "$dir/hook.code" || line=unknown
	code=$line
	say "the hook ended with exit code $code"
	if [ "$code" = 0 ]; then
		rm -f -- "$dir/hook.failed"
		return 0
	fi
	clock
	tried=$clock tries=$((tries + 1))
	[ -n "$failing" ] || failing=$tried failed_at=$(now)
	put "$dir/hook.failed" "code=$code
first=$failed_at
tries=$tries
hook=$(cksum <"$dir/hook.sh")"
	if [ $((tried - failing)) -lt "$hook_hold" ]; then
		say "it holds the end for $hook_hold seconds since $failed_at, and is tried again in $hook_retry"
		return 1
	fi
	say "the cluster ends without it"
}

# reach HOST PORT USER COMMAND runs a command on another node.
reach() {
	ssh -i "$HOME/.sky/cluster/key" -p "$2" -o StrictHostKeyChecking=yes \
		-o UserKnownHostsFile="\"$dir/known_hosts\"" -o BatchMode=yes -o ConnectTimeout=10 \
		-o ServerAliveInterval=5 "$3@$1" "$4" </dev/null >/dev/null 2>&1
}

# end_node RANK HOST PORT USER tells a node to end until it answers no more.
# One that never answered for a minute is taken to be gone already; one that
# answers and stays is given up after five minutes, and the head ends anyway.
end_node() {
	clock
	told='' begun=$clock
	while passed "$begun" && [ "$passed" -lt 300 ]; do
		# Not waited for: the node may be gone before it has said how that went.
		if reach "$2" "$3" "$4" '(sleep 1; exec sh .sky/autostop/end.sh) </dev/null >/dev/null 2>&1 & exit 0'; then
			told=yes
		elif [ -n "$told" ] || { passed "$begun" && [ "$passed" -ge 60 ]; }; then
			say "rank $1 has ended"
			return
		fi
		sleep 2
	done
	say "rank $1 does not end"
}

end_others() {
	[ -e "$dir/nodes" ] || return 0
	others=
	while read -r rank host port user; do
		end_node "$rank" "$host" "$port" "$user" &
		others="$others $!"
	done <"$dir/nodes"
	for p in $others; do wait "$p"; done
}

# lease tells the other nodes from time to time that the head lives, by the time
# of a file: what is written would not arrive on a full disk.
lease() {
	passed "$leased"
	[ -e "$dir/nodes" ] && [ "$passed" -ge $((lease / 6)) ] || return 0
	leased=$clock
	if kill -0 "${leasing:-none}" 2>/dev/null; then return; fi
	(
		while read -r rank host port user; do
			reach "$host" "$port" "$user" "touch .sky/autostop/lease" || say "rank $rank does not answer"
		done <"$dir/nodes"
	) &
	leasing=$!
}

# leash ends this node, which is not the head, when the head has been silent for
# too long: it is gone, and cannot take this node along any more.
leash() {
	clock
	heard='' since=$clock
	say "waiting for the head: $action after $lease seconds without a word of it"
	while mine; do
		word=$(ls -ln --full-time "$dir/lease" 2>/dev/null || ls -ln "$dir/lease" 2>/dev/null)
		passed "$since"
		if [ "$word" != "$heard" ]; then
			heard=$word since=$clock
		elif [ "$passed" -ge "$lease" ]; then
			say "the head has been silent for $lease seconds: $action"
			sh "$dir/end.sh" || say "the command that ends this machine failed with exit code $?"
		fi
		rest "$pause"
	done
}

# due succeeds when it is time to end the cluster.
due() {
	clock
	[ $((clock - since)) -ge "$idle" ] || return 1
	[ -z "$tried" ] || [ $((clock - tried)) -ge "$hook_retry" ] || return 1
	[ "$action" = terminate ] && [ "$wait_for" != none ] && [ $((clock - since)) -lt $((idle + unread_hold)) ] || return 0
	one=$(unread) || return 0
	echo "nobody has read how job $one ended" >"$dir/why"
	return 1
}

# finish ends the cluster: the hook, the other nodes, this machine. It gives up
# where something happened meanwhile, and fails where the hook holds it up.
finish() {
	say "idle for $idle seconds: $action"
	hook || return 1
	mine || return 0
	: >"$dir/ending" # before the look, as the provider looks for it after it began to hold
	if why=$(busy); then
		say "not now: $why"
		rm -f -- "$dir/ending"
		return 0
	fi
	put "$dir/ended" "action=$action
idle=$idle
at=$(now)"
	end_others
	while mine; do
		sh "$dir/end.sh" || say "the command that ends this machine failed with exit code $?"
		rest 15
	done
}

# active starts the idle time anew.
active() {
	clock
	since=$clock tried='' failing='' tries=0
}

# watch starts the idle time anew at its own start, which is a boot, a start of
# the cluster or a change of autostop.
watch() {
	[ -e "$dir/conf" ] || exit 0
	read_conf
	put "$dir/pid" "$$"
	if [ "$role" = worker ]; then
		leash
		return
	fi
	active
	leased=$((since - lease)) leasing=''
	seen >"$dir/seen"
	rm -rf -- "$dir/busy" "$dir/ending"
	say "watching: $action after $idle idle seconds, waits for $wait_for"
	while mine; do
		if busy >"$dir/why"; then
			active
		else
			: >"$dir/why"
		fi
		lease
		if due && finish; then active; fi
		rest "$pause"
	done
}

case ${1:-} in
run) watch ;;
jobs)
	[ $# -ge 2 ] || set -- jobs 0
	shift
	running "$@"
	;;
*) exit 64 ;;
esac
