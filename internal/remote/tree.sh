# Unpacks the archive on standard input beside $dest and puts it in place.
umask 022
fail() { echo "$1" >&2; exit 1; }
case $dest in /*) ;; *) dest=$PWD/$dest ;; esac
parent=${dest%/*}
mkdir -p -- "${parent:-/}" || exit 1
stage=$dest.sky-$id
if [ ! -w "${parent:-/}" ] || [ "$dest" = "$HOME" ]; then
	[ -d "$dest" ] && [ -w "$dest" ] || fail "no permission to write into ${parent:-/}"
	stage=$dest/.sky-$id
fi
trap 'rm -rf -- "$stage"' EXIT
trap 'exit 129' HUP INT TERM PIPE
(umask 077 && mkdir -p -- "${record%/*}" && mkdir -- "$stage") || exit 1
# What hard kills left of earlier uploads goes, where nothing in it has changed in
# the hour before this one by the clock of the files, which need not be that of
# the node.
if touch -d "@$(($(stat -c %Y "$stage") - 3600))" "$stage/hour" 2>/dev/null; then
	for old in "${stage%-*}"-*; do
		case ${old##*-} in *[!0-9a-f]*) continue ;; esac
		if [ "${#old}" = "${#stage}" ] && [ -d "$old" ] && [ ! -h "$old" ] &&
			young=$(find "$old" -newer "$stage/hour" 2>/dev/null) && [ -z "$young" ]; then
			rm -rf -- "$old" 2>/dev/null
		fi
	done
	rm -f -- "$stage/hour"
fi
tar -xopf - -C "$stage" || exit
[ -f "$stage/manifest" ] || { echo "the upload ended early" >&2; exit 99; }
# All is here; what follows is local, short and not to be interrupted.
trap '' HUP INT TERM PIPE
tree=$stage/tree
if [ "$kind" = file ]; then
	[ -d "$dest" ] && fail "the target is a folder and the source is a file"
	mv -f -- "$tree" "$dest" || exit 1
elif [ ! -e "$dest" ] && [ ! -h "$dest" ]; then
	(cd -- "$tree" && set -e && . "$stage/modes") || exit 1
	mv -- "$tree" "$dest" || exit 1
else
	[ -d "$dest" ] || fail "the target is a file and the source is a folder"
	if [ -f "$record" ]; then
		{ echo - && tail -n +2 "$record"; } >"$stage/old" && mv -f -- "$stage/old" "$record" || exit 1
	fi
	(cd -- "$dest" && set -e && . "$stage/apply" && . "$stage/modes") || exit 1
fi
touch -- "$stage/manifest" # what is newer was changed after the upload
mv -f -- "$stage/manifest" "$record"
