# Makes room after a claim: of the jobs that ended here, all but the last $keep
# lose their logs and files. The head keeps their records, so that none of them
# is ever started again and each can still say how it ended; the other nodes,
# which have no records, keep nothing. Sets nothing that a claim uses.
prune() (
	cd -- "${jobs:?}" || exit 0
	end=ended
	[ "${queued:?}" != true ] || end='exit'
	set --
	for j in */run.sh; do
		j=${j%/run.sh}
		[ ! -e "$j/$end" ] || set -- "$@" "$j/$end"
	done
	[ $# -gt "${keep:?}" ] || exit 0
	# shellcheck disable=SC2012 # the names are ours, and only ls sorts by time
	ls -1t -- "$@" | tail -n +$((keep + 1)) | while IFS= read -r j; do
		j=${j%/"$end"}
		[ "$j" != "${id:?}" ] || continue
		if [ "$queued" != true ]; then
			rm -rf -- "${jobs:?}/$j"
			continue
		fi
		cat >"$j/records.sh" <<'END' && sync "$j/records.sh" 2>/dev/null
# The records of a job whose logs and files were pruned.
dir=$(cd -- "$(dirname -- "$0")" && pwd) || exit 1
case $1 in
status)
	echo "submitted=$(cat "$dir/submitted")"
	echo "started=$(cat "$dir/running" 2>/dev/null)"
	cat "$dir/exit"
	[ "${2:-}" = unread ] || : >"$dir/fetched"
	;;
log) echo pruned ;;
esac
END
		# Its old runner may be answering somebody: that one keeps its file.
		mv -f -- "$j/records.sh" "$j/runner.sh" || continue
		for f in "$j"/* "$j"/.[!.]*; do
			case ${f##*/} in
			runner.sh | digest | submitted | running | started | exit | fetched | removed) ;;
			*) rm -rf -- "$f" ;;
			esac
		done
	done
) >/dev/null 2>&1
