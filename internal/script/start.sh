# start.sh FILE becomes the user's script in FILE, as script.go says. Needs a
# POSIX shell. The user's variables are set by now and may have any name but
# SKY_*, so this sets no other. What lies beside FILE as FILE.login and
# FILE.functions is ours.

# Signals as a program expects them. A shell cannot take back that a signal was
# ignored when it started, so another program has to.
if [ -z "${SKY_SIGNALS:-}" ] && [ -r /proc/self/status ]; then
	while read -r SKY_NAME SKY_VALUE; do
		[ "$SKY_NAME" != SigIgn: ] || break
	done </proc/self/status
	case $SKY_VALUE in
	*[!0]*)
		SKY_SIGNALS=default
		export SKY_SIGNALS
		if env --default-signal true 2>/dev/null; then
			exec env --default-signal sh "$0" "$1"
		elif command -v perl >/dev/null 2>&1; then
			exec perl -e '$SIG{$_} = "DEFAULT" for grep { !/^(__|NUM|KILL|STOP|ZERO)/ } keys %SIG; exec @ARGV' sh "$0" "$1"
		elif command -v python3 >/dev/null 2>&1; then
			exec python3 -I -c 'import os, signal, sys
for s in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(s, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])' sh "$0" "$1"
		fi
		;;
	esac
fi
unset SKY_SIGNALS SKY_NAME SKY_VALUE

cd -- "$HOME/sky_workdir" 2>/dev/null || { mkdir -p -- "$HOME/sky_workdir" && cd -- "$HOME/sky_workdir"; } || exit 1
: "${PYTHONUNBUFFERED=1}"
export PYTHONUNBUFFERED

# What a login sets, from a shell of its own, since it may say anything, fail,
# end or hang. It sees nothing of the user's variables, and a minute is its limit.
SKY_BASH=$(command -v bash 2>/dev/null) || SKY_BASH=
if [ -n "$SKY_BASH" ]; then
	SKY_LOGIN='set +eu
unset HISTFILE
unset -f command_not_found_handle
{ echo "unset BASH_ENV"; declare -f; } >"$0.functions"
builtin exec env -0 >"$0.login"'
else
	SKY_LOGIN='for f in /etc/profile "$HOME/.profile"; do
	[ ! -r "$f" ] || . "$f"
done
export -p >"$0.login" && echo "# whole" >>"$0.login"'
fi
( # a subshell leads no process group, so that setsid need not fork
	umask 077
	: >"$1.login"
	: >"$1.functions"
	SKY_NEXT=
	! command -v setsid >/dev/null || SKY_NEXT=setsid
	! command -v timeout >/dev/null || SKY_NEXT="$SKY_NEXT timeout -s KILL 60"
	# shellcheck disable=SC2086 # words on purpose
	exec env -i HOME="$HOME" PATH="$PATH" USER="${USER:-}" LOGNAME="${LOGNAME:-}" SHELL="${SHELL:-/bin/sh}" TERM=dumb \
		LANG="${LANG:-}" SKY_JOB_ID="${SKY_JOB_ID:-}" SKY_JOB_MARK="${SKY_JOB_MARK:-}" \
		$SKY_NEXT ${SKY_BASH:-sh} ${SKY_BASH:+-l -i} -c "$SKY_LOGIN" "$1"
) </dev/null >/dev/null 2>&1

# What interprets the script, run by name, since its folder may forbid execution.
SKY_PLAIN=no
IFS= read -r SKY_LINE <"$1" || :
case $SKY_LINE in
'#!'*)
	set -f
	# shellcheck disable=SC2086 # words on purpose
	set -- "$1" ${SKY_LINE#??}
	set +f
	[ $# -gt 1 ] || set -- "$1" sh
	;;
*)
	SKY_PLAIN=yes
	set -- "$1" "${SKY_BASH:-sh}"
	;;
esac
# The file comes last, the words before it.
SKY_LINE=$1
shift
set -- "$@" "$SKY_LINE"

# Both apply what the login set, where nobody has set it otherwise. Folders that
# were on the PATH before stay on it, behind the login's.
SKY_PATH=$PATH
SKY_PATHS='
case :$SKY_PATH: in *":$HOME/.local/bin:"*) ;; *) SKY_PATH=$HOME/.local/bin:$SKY_PATH ;; esac
while [ -n "$PATH" ]; do
	SKY_NAME=${PATH%%:*}
	case :$SKY_PATH: in *":$SKY_NAME:"*) ;; *) SKY_PATH=$SKY_PATH:$SKY_NAME ;; esac
	case $PATH in *:*) PATH=${PATH#*:} ;; *) PATH= ;; esac
done
PATH=${SKY_KEEP_PATH-$SKY_PATH}'
if [ -n "$SKY_BASH" ]; then
	export SKY_PLAIN SKY_PATH SKY_PATHS
	exec bash -c '
while IFS= read -r -d "" SKY_VALUE; do
	SKY_NAME=${SKY_VALUE%%=*}
	case $SKY_NAME in
	PATH) SKY_PATH=${SKY_VALUE#PATH=} ;;
	TERM | SHLVL | PWD | OLDPWD | _ | SKY_* | [!A-Za-z_]* | *[!A-Za-z0-9_]*) ;;
	*) [ -n "${!SKY_NAME+set}" ] || export "$SKY_VALUE" ;;
	esac
done 2>/dev/null <"$0.login"
eval "$SKY_PATHS"
if [ "$SKY_PLAIN" = yes ] && [ -z "${BASH_ENV+set}" ] && [ -s "$0.functions" ]; then export BASH_ENV=$0.functions; fi
unset SKY_VALUE SKY_NAME SKY_PLAIN SKY_PATH SKY_PATHS SKY_KEEP_PATH
exec "$@"' "$SKY_LINE" "$@"
fi
SKY_GIVEN=$(export -p)
SKY_LOGIN=$(cat "$SKY_LINE.login" 2>/dev/null)
case $SKY_LOGIN in
*'# whole')
	eval "$SKY_LOGIN"
	SKY_PATH=$PATH
	eval "$SKY_GIVEN"
	;;
esac
eval "$SKY_PATHS"
if [ "$SKY_PLAIN" = yes ]; then
	if command -v bash >/dev/null; then # the login has found it
		shift
		set -- bash "$@"
	else
		echo "sky: there is no bash here, so the script runs in sh" >&2
	fi
fi
unset SKY_BASH SKY_PLAIN SKY_GIVEN SKY_LINE SKY_LOGIN SKY_NAME SKY_PATH SKY_PATHS SKY_KEEP_PATH
exec "$@"
