# keep.sh DIR [work] waits for the script of the step in DIR and records its end.
# The script knows its own end, too, should somebody kill its parent.
dir=$1
trap : HUP PIPE # handled, not ignored: what is ignored here would be in the script, too
# record NAME notes this process.
record() {
	born $$
	printf 'pid=%s\nborn=%s\n' $$ "$born" >"$dir/$1.new" && mv -f -- "$dir/$1.new" "$dir/$1"
}
case ${2:-} in
'')
	record keeper
	sh "$dir/keep" "$dir" work </dev/null >>"$dir/out" 2>&1
	echo "$?" >"$dir/exit.new" && { sync "$dir/exit.new" 2>/dev/null || sync; } && mv -f -- "$dir/exit.new" "$dir/exit"
	rm -f -- "$dir/script"
	;;
work)
	record work
	exec sh "$dir/script"
	;;
esac
