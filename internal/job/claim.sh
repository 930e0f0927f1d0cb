# Stages the job's folder from the archive on standard input and claims its
# name. Answers "new|claimed|started AHEAD"; exits 3 where another job has the id.
set -u
umask 077
: "${id:?}" "${digest:?}" "${nonce:?}" "${queued:?}" "${keep:?}"
jobs=$HOME/.sky/jobs queue=$HOME/.sky/queue
job=$jobs/$id stage=$jobs/.$id.$nonce
[ -d "$jobs" ] && [ -d "$queue" ] || mkdir -p -- "$jobs" "$queue" || exit 1
# What a reboot or a kill cut off while it was staged holds an environment.
for f in "$jobs"/.?*.?*; do
	[ -d "$f" ] || continue
	find "$jobs" -maxdepth 1 -name '.?*.?*' -mmin +60 -exec rm -rf -- {} + 2>/dev/null
	break
done
# answer STATE [again] says so; again refreshes the job's place in the queue.
answer() {
	line "$job/digest" && [ "$line" = "$digest" ] || exit 3
	state=$1 ahead=0
	if [ "$queued" = true ]; then
		if [ -e "$job/started" ] || [ -e "$job/exit" ]; then
			state=started
		else
			ahead=$(sh "$job/runner.sh" queue "${2:-}") || exit 1
		fi
	fi
	echo "$state $ahead"
	exit 0
}
if [ -d "$job" ]; then
	cat >/dev/null
	answer claimed again
fi
n=
trap 'rm -rf -- "$stage" ${n:+"$queue/$n"}' EXIT
trap 'exit 129' HUP INT TERM PIPE
mkdir -- "$stage" && tar -xof - -C "$stage" || exit 1
[ -e "$stage/complete" ] || { echo "the job arrived incomplete" >&2; exit 1; }
now >"$stage/submitted"
if [ "$queued" = true ]; then
	echo "$id" >"$stage/id"
	take_ticket "$stage/id"
	n=$ticket
	echo "$n" >"$stage/ticket"
fi
sync "$stage"/* "$stage" 2>/dev/null || sync
# A rename is the claim. Where the name was taken meanwhile, mv puts the folder
# inside the other one or fails; both mean that another claim won.
mv -- "$stage" "$job" 2>/dev/null
if [ -d "$stage" ] || [ -d "$job/${stage##*/}" ]; then
	rm -rf -- "${job:?}/${stage##*/}"
	[ -d "$job" ] || { echo "the job's folder could not be made" >&2; exit 1; }
	answer claimed again
fi
n=
trap - EXIT
prune
answer new
