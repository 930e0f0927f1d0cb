# Unpacks the archive on standard input beside $dest and puts it in place.
umask 022
: "${dest:?}" "${record:?}" "${id:?}" "${kind:?}" "${own?}"
fail() { echo "$1" >&2; exit 1; }
case $dest in /*) ;; *) dest=$PWD/$dest ;; esac
# real PATH: at is where PATH is or will be, whatever links lead there.
real() {
	at=$1 rest=
	until [ -d "$at" ]; do
		rest=/${at##*/}$rest at=${at%/*}
		[ -n "$at" ] || at=/
	done
	at=$(cd -P -- "$at" && printf %sx "${PWD%/}") || exit 1
	at=${at%x}$rest
}
# What lets us in, and our own records, are not to be replaced: at is refused in
# them, and keys and records say where in the tree they would be.
real "$HOME/.ssh" && ssh=$at && real "$HOME/.sky" && sky=$at && real "$dest"
within() { case $1/ in "$2/"*) return 0 ;; esac; return 1; }
for f in authorized_keys authorized_keys2; do
	if within "$at" "$ssh/$f"; then fail "this would replace the keys that let the provider in"; fi
done
if [ -z "$own" ] && within "$at" "$sky"; then fail "this is in the provider's own folder, ~/.sky"; fi
keys='' records=''
if within "$ssh" "$at"; then keys=${ssh#"$at"}/authorized_keys; fi
if within "$sky" "$at"; then records=${sky#"$at"}; fi
if [ "$kind" = file ] && [ -n "$keys$records" ]; then fail "the target is a folder and the source is a file"; fi
# holds PATH: whether the tree would replace PATH, or what leads there.
holds() {
	at=$tree rest=${1#/}/
	while [ -n "$rest" ]; do
		at=$at/${rest%%/*} rest=${rest#*/}
		[ -h "$at" ] && return 0
		[ -e "$at" ] || return 1
		[ -d "$at" ] || return 0
	done
}
# enter FOLDER...: folders of the target that are to be written to.
enter() {
	for f; do
		if [ -h "$f" ]; then
			real "$f"
			if within "$at" "$ssh" || within "$at" "$sky" || within "$ssh" "$at" || within "$sky" "$at"; then
				fail "$f is a link on the machine that leads to the provider's own files"
			fi
		fi
		if [ -d "$f" ] && { [ ! -w "$f" ] || [ ! -x "$f" ]; }; then chmod u+rwx -- "$f" || exit 1; fi
	done
}
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
if [ -n "$keys" ] && { holds "$keys" || holds "${keys}2"; }; then fail "the source holds ${keys#/}, which would replace the keys that let the provider in"; fi
if [ -n "$records" ] && holds "$records"; then fail "the source holds ${records#/}, the provider's own folder"; fi
if [ "$kind" = file ]; then
	[ -d "$dest" ] && fail "the target is a folder and the source is a file"
	mv -f -- "$tree" "$dest" || exit 1
elif [ ! -e "$dest" ] && [ ! -h "$dest" ]; then
	# shellcheck source=/dev/null # what apply.go has written
	(cd -- "$tree" && set -e && . "$stage/modes") || exit 1
	mv -- "$tree" "$dest" || exit 1
else
	[ -d "$dest" ] || fail "the target is a file and the source is a folder"
	if [ -f "$record" ]; then
		{ echo - && tail -n +2 "$record"; } >"$stage/old" && mv -f -- "$stage/old" "$record" || exit 1
	fi
	mode=
	if [ ! -w "$dest" ] || [ ! -x "$dest" ]; then
		mode=$(stat -c %a -- "$dest") && chmod u+rwx -- "$dest" || exit 1
	fi
	# shellcheck source=/dev/null # what apply.go has written
	(cd -- "$dest" && set -e && . "$stage/apply" && . "$stage/modes") || exit 1
	[ -z "$mode" ] || chmod "$mode" -- "$dest"
fi
# sshd believes no keys that others could have written.
[ -z "$keys" ] || chmod go-w -- "$HOME" "$ssh" 2>/dev/null || :
touch -- "$stage/manifest" # what is newer was changed after the upload
mv -f -- "$stage/manifest" "$record"
