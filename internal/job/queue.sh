# take_ticket FILE gives FILE, which holds a job's id, the next number of the queue,
# and sets ticket to it.
take_ticket() {
	ticket=0 tries=0
	for f in "${queue:?}"/[0-9]*; do
		[ ! -e "$f" ] || [ "${f##*/}" -le "$ticket" ] || ticket=${f##*/}
	done
	until ticket=$((ticket + 1)) && ln -- "$1" "$queue/$ticket" 2>/dev/null; do
		[ "$((tries += 1))" -lt 1000 ] || { echo "no place in the queue" >&2; exit 1; }
	done
}
