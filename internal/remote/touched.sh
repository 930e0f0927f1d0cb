# Prints the names below $dest that were changed since $record was written, and,
# for "absent NAME...", those that are not there; each ends with a NUL. What
# cannot be looked into, as a container may leave it, is nothing of ours.
: "${dest:?}" "${record:?}"
absent() {
	for f; do
		[ -e "$f" ] || [ -h "$f" ] || printf '%s\0' "$f"
	done
}
at=$dest
if [ -d "$dest" ]; then
	cd -- "$dest" || exit 1
	at=.
fi
find "$at" ! -type d -newer "$record" -print0 2>/dev/null || :
