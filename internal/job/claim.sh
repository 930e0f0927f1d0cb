# Stages the job's folder from the archive on standard input and claims its
# name. Answers "new|claimed|started AHEAD"; exits 3 where another job has the id.
set -u
umask 077
jobs=$HOME/.sky/jobs queue=$HOME/.sky/queue
job=$jobs/$id stage=$jobs/.$id.$nonce
mkdir -p -- "$jobs" "$queue" || exit 1
# What a reboot or a kill cut off while it was staged holds an environment.
find "$jobs" -maxdepth 1 -name '.?*.?*' -mmin +60 -exec rm -rf -- {} + 2>/dev/null
answer() {
	[ "$(cat "$job/digest")" = "$digest" ] || exit 3
	state=$1 ahead=0
	if [ "$queued" = true ]; then
		if [ -e "$job/started" ] || [ -e "$job/exit" ]; then
			state=started
		else
			sh "$job/runner.sh" renew # before the ticket looks fresh again
			touch -c -- "$queue/$(cat "$job/ticket")"
			ahead=$(sh "$job/runner.sh" live) || exit 1
			ahead=${ahead%% *}
		fi
	fi
	echo "$state $ahead"
	exit 0
}
if [ -d "$job" ]; then
	cat >/dev/null
	answer claimed
fi
n=
trap 'rm -rf -- "$stage" "$stage.ticket" ${n:+"$queue/$n"}' EXIT
trap 'exit 129' HUP INT TERM PIPE
mkdir -- "$stage" && tar -xof - -C "$stage" || exit 1
[ -e "$stage/complete" ] || { echo "the job arrived incomplete" >&2; exit 1; }
date -u +%Y-%m-%dT%H:%M:%SZ >"$stage/submitted"
if [ "$queued" = true ]; then
	echo "$id" >"$stage.ticket"
	t=$(ls "$queue" | sort -n | tail -n 1) tries=0
	until t=$((t + 1)) && ln -- "$stage.ticket" "$queue/$t" 2>/dev/null; do
		[ "$((tries += 1))" -lt 1000 ] || { echo "no place in the queue" >&2; exit 1; }
	done
	n=$t
	echo "$n" >"$stage/ticket"
fi
sync "$stage"/* "$stage" 2>/dev/null || sync
# A rename is the claim. Where the name was taken meanwhile, mv puts the folder
# inside the other one or fails; both mean that another claim won.
mv -- "$stage" "$job" 2>/dev/null
if [ -d "$stage" ] || [ -d "$job/${stage##*/}" ]; then
	rm -rf -- "${job:?}/${stage##*/}"
	[ -d "$job" ] || { echo "the job's folder could not be made" >&2; exit 1; }
	answer claimed
fi
n=
prune
answer new
