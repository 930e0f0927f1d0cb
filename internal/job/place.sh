# The leader of a job in the ray runtime: part of runner.sh, which reads it after
# lead.sh. Ray decides when and where the ranks run; here it is asked.

# waiting succeeds while a job before this one, $j, has not been given its nodes yet:
# a large job would never run if small ones could always pass it.
waiting() {
	line "$dir/ticket"
	mine=$line
	for f in "$queue"/[0-9]*; do
		n=${f##*/}
		if [ -e "$f" ] && [ "$n" -lt "$mine" ] && holds "$f" && [ ! -e "$j/placement" ]; then return; fi
	done
	return 1
}

# await_turn asks Ray for the job's nodes and waits for them. Fails where the
# job is to end instead; refused says why, unless it was cancelled.
await_turn() {
	while waiting; do
		[ ! -e "$dir/cancel" ] || return 1
		waits_for "waits for the turn of" "${j##*/}"
		nap
	done
	hand_over || return 1
	waits_for "waits for Ray to give it its nodes"
	t=0
	until [ -e "$dir/placement" ]; do
		[ ! -e "$dir/cancel" ] || return 1
		t=$((t + 1))
		if [ -e "$dir/refused" ] || { [ $((t % 25)) = 0 ] && driverless; }; then
			line "$dir/refused" || :
			refused=$line
			return 1
		fi
		nap
	done
	rm -f -- "$dir/waits"
	ips=$(cat "$dir/placement")
	env="$env
SKYPILOT_NODE_IPS='$ips' SKYPILOT_SETUP_NODE_IPS='$ips'"
}

hand_over() {
	said='Ray is not installed on the head'
	if python=$(sh "$HOME/.sky/ray/ray.sh" python) && said=$(sh "$HOME/.sky/ray/ray.sh" up 2>&1 3>&-) &&
		said=$("$python" -I "$dir/driver.py" submit 2>&1); then
		return
	fi
	refused=$(printf %s "$said" | tr '\n' ' ' | tail -c 600)
	return 1
}

# driverless succeeds when Ray has ended the job's driver before it had placed
# the ranks, and sees that the reason is on record.
driverless() {
	said=$("$python" -I "$dir/driver.py" state 2>/dev/null)
	case $said in
	SUCCEEDED* | FAILED* | STOPPED*) ;;
	*) return 1 ;;
	esac
	# It may have come to an end in good order since we looked.
	[ ! -e "$dir/placement" ] || return 1
	[ -e "$dir/refused" ] || put "$dir/refused" "Ray ended the job's driver: $said"
}

connect() { exec "$python" -I "$dir/driver.py" attach "$1"; }
