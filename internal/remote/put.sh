# Writes standard input, less the mark at its end, to $target with mode $mode.
umask 077
: "${target:?}" "${mode:?}" "${end:?}"
fail() { echo "$1" >&2; exit 1; }
case $target in */*) mkdir -p -- "${target%/*}/" || exit 1 ;; esac
[ -d "$target" ] && fail "the target is a folder"
temp=$target.sky-$end
trap 'rm -f -- "$temp"' EXIT
trap 'exit 129' HUP INT TERM PIPE
cat >"$temp" || exit 1
size=$(($(wc -c <"$temp") - ${#end}))
[ "$size" -ge 0 ] && [ "$(tail -c "${#end}" "$temp")" = "$end" ] || { echo "the upload ended early" >&2; exit 99; }
dd if=/dev/null of="$temp" bs=1 seek="$size" 2>/dev/null || exit 1
chmod "$mode" "$temp" && mv -f -- "$temp" "$target"
