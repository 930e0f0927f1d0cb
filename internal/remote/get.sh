# Sends what matches the patterns, given one a line on standard input, as an
# archive; names are below $base, or below / where they are outside it. Before the
# archive come the folder that relative ones are below, and the home folder.
set -f
: "${base?}" "${partial:?}"
[ -d "$base" ] || base=$HOME
cd -- "$base" || exit 1
set --
old=$IFS
while IFS= read -r pattern; do
	# shellcheck disable=SC2088 # the pattern has it as it stands here
	case $pattern in '~/'*) pattern=$HOME/${pattern#??} ;; /*) ;; *) pattern=./$pattern ;; esac
	IFS= found=
	set +f
	for f in $pattern; do
		{ [ -e "$f" ] || [ -h "$f" ]; } || continue
		found=1
		case $f in "$PWD"/*) f=./${f#"$PWD"/} ;; esac
		set -- "$@" "$f"
	done
	set -f
	IFS=$old
	[ -n "$found" ] || [ "$partial" = true ] || { echo "nothing matches ${pattern#./}" >&2; exit 66; }
done
printf '%s\n%s\n' "$PWD" "$HOME"
[ $# -gt 0 ] || exit 0
tar -cf - -- "$@"
