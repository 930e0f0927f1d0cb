# What becomes of what the ranks print, on the head: part of runner.sh, which
# reads it for "head". Whatever the length of a line, memory is bounded by a block.

# blocks [time] copies standard input in blocks, as they come. After each comes a
# line with $mark, and the time if asked for, so that awk reads no line longer than
# a block, and knows which ends are no ends of lines. Where nobody takes them any
# more, it drops the rest.
blocks() {
	{
		while :; do
			n=$({ dd bs=32768 count=1 2>&3 | tr -d '\000' >&4; } 3>&1)
			case $n in 1+0* | 0+1*) ;; *) break ;; esac
			[ -z "${1:-}" ] || clock
			printf '\n%s %s\n' "$mark" "${clock:-}" || { cat >/dev/null && break; }
			case $n in 0+*) nap 0.1 ;; esac # what comes meanwhile is one block
		done
	} 4>&1
}

# clock sets clock to the seconds of some clock.
clock() {
	if read -r clock _ 2>/dev/null </proc/uptime; then clock=${clock%%.*}; else clock=$(date +%s); fi
}

# know_awk sets interactive to what makes this awk take lines as they come.
know_awk() {
	interactive=
	case $(awk -W version 2>&1 </dev/null) in mawk*) interactive='-W interactive' ;; esac
}

# filter PROGRAM NAME=VALUE runs awk on blocks.
filter() {
	# shellcheck disable=SC2086 # two words or none
	exec awk $interactive -v mark="$mark" -v "$2" "$1"
}

# hide replaces secrets in standard input. The words to hide come in $hide, the
# longest first: their number, and of each the number of its lines and these.
hide() {
	LC_ALL=C
	export LC_ALL
	# shellcheck disable=SC2016 # a program for awk
	{ printf '%s\n' "$hide"; blocks; } | filter '
BEGIN {
	getline; words = $0 + 0
	for (w = 1; w <= words; w++) {
		getline; lines = $0 + 0
		for (l = 1; l <= lines; l++) { getline; word[w] = word[w] (l > 1 ? "\n" : "") $0 }
	}
}
function say(s) { if (s != "") printf "%s", s }
# held is where the earliest beginning of a word is that may go on in the next
# block; 0 is nowhere.
function held(   w, t, i, at, first) {
	first = 0
	for (w = 1; w <= words; w++) {
		t = substr(text, length(text) > length(word[w]) - 2 ? length(text) - length(word[w]) + 2 : 1)
		while (t != "" && (i = index(t, substr(word[w], 1, 1)))) {
			t = substr(t, i)
			if (substr(word[w], 1, length(t)) == t) {
				at = length(text) - length(t) + 1
				if (!first || at < first) { first = at; share = length(t) / length(word[w]) }
				break
			}
			t = substr(t, 2)
		}
	}
	return first
}
function pass(   w, i, first, which, hold) {
	for (;;) {
		first = 0
		for (w = 1; w <= words; w++)
			if ((i = index(text, word[w])) && (!first || i < first)) { first = i; which = w }
		hold = held()
		if (!first || (hold && hold <= first)) break
		say(substr(text, 1, first - 1) "(secret)")
		text = substr(text, first + length(word[which]))
	}
	if (hold) { say(substr(text, 1, hold - 1)); text = substr(text, hold) } else { say(text); text = "" }
}
index($0, mark " ") == 1 { if (have) text = text line; have = 0; pass(); fflush(); next }
{
	if (have) text = text line "\n"
	line = $0; have = 1
	if (length(text) > 8192) pass()
}
END {
	if (have) text = text line
	pass()
	if (text != "") say(held() && share >= 0.5 ? "(secret)" : text) # it was cut off
}' x=
}

# label N puts the rank before every line, cuts lines at 16 KiB, ends the last
# one, and shows lines that are written over, as progress bars are, as they are in
# the end, and every 5 seconds as they are then.
label() {
	LC_ALL=C
	export LC_ALL
	# shellcheck disable=SC2016 # a program for awk
	blocks time | filter '
function flush() { if (out != "") printf "%s", out; out = ""; fflush() }
function put(s) { out = out name s "\n"; if (length(out) > 3000) flush() }
function add(s,   n, f) {
	part = part s
	if (index(part, "\r")) { # the last version, and the returns after it
		bar = 1
		n = split(part, f, "\r")
		s = ""
		while (n > 1 && f[n] == "") { s = s "\r"; n-- }
		part = f[n] s
	}
	while (length(part) > 16384) { put(substr(part, 1, 16384)); part = substr(part, 16385) }
}
function state(   s) { s = part; sub(/\r+$/, "", s); return s }
function end(   s) {
	s = state()
	if (!shown || s != seen) put(s)
	part = seen = ""; bar = shown = 0
}
index($0, mark " ") == 1 {
	if (have) add(line)
	have = 0
	now = substr($0, length(mark) + 2) + 0
	if (bar && state() != "" && state() != seen && (now < last || now - last >= 5)) { seen = state(); put(seen); last = now; shown = 1 }
	flush()
	next
}
{
	if (have) { add(line); end() }
	line = $0; have = 1
}
END {
	if (have) add(line)
	if (part != "") end()
	flush()
}' name="(rank $1) "
}

# collect N keeps the output of rank N: as it is, less the secrets, and merged
# line by line. What cannot be written, beyond the cap or onto a full disk, is
# read and dropped, so that the job does not notice.
collect() {
	trap '' XFSZ
	ulimit -f "$log_blocks" 2>/dev/null
	mark=sky-$id-$$
	if [ -z "$hide" ]; then keep "$1"; else hide | keep "$1"; fi
}

keep() {
	if [ "$nodes" = 1 ]; then
		cat >>"$dir/rank-0.log" 2>/dev/null || { lacks rank-0; cat >/dev/null; }
	else
		{ tee -a "$dir/rank-$1.log" 2>/dev/null || { lacks "rank-$1"; cat >/dev/null; }; } |
			label "$1" | { cat >>"$merged" 2>/dev/null || lacks run; }
	fi
}

# lacks NAME notes that a log lacks something.
lacks() { : >"$dir/cut.$1"; }
