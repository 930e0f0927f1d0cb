# start.sh FILE becomes the user's script in FILE, as script.go says. Needs a
# POSIX shell. The user's variables are set by now and may have any name but
# SKY__*, so this sets no other. What lies beside FILE as FILE.login, FILE.bashenv
# and FILE.functions is ours.

# Signals as a program expects them. A shell cannot take back that a signal was
# ignored when it started, so another program has to.
if [ -z "${SKY__SIGNALS:-}" ] && [ -r /proc/self/status ]; then
	while read -r SKY__NAME SKY__VALUE; do
		[ "$SKY__NAME" != SigIgn: ] || break
	done </proc/self/status
	case $SKY__VALUE in
	*[!0]*)
		SKY__SIGNALS=default
		export SKY__SIGNALS
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
unset SKY__SIGNALS SKY__NAME SKY__VALUE

cd -- "$HOME/sky_workdir" 2>/dev/null || { mkdir -p -- "$HOME/sky_workdir" && cd -- "$HOME/sky_workdir"; } || exit 1
: "${PYTHONUNBUFFERED=1}"
export PYTHONUNBUFFERED

# What a login sets, from a shell of its own, since it may say anything, fail,
# end or hang. It sees nothing of the user's variables, and a minute is its limit.
SKY__BASH=$(command -v bash 2>/dev/null) || SKY__BASH=
if [ -n "$SKY__BASH" ]; then
	# A login does not read ~/.bashrc by itself, only where its profile says so.
	# shellcheck disable=SC2016 # for the shell that it starts
	SKY__LOGIN='set +eu
for SKY__FILE in ~/.bash_profile ~/.bash_login ~/.profile; do
	[ ! -r "$SKY__FILE" ] || { IFS= read -r -d "" SKY__TEXT <"$SKY__FILE"; break; }
done
case ${SKY__TEXT:-} in *bashrc*) ;; *) [ ! -r ~/.bashrc ] || . ~/.bashrc; set +eu ;; esac
unset HISTFILE
unset -f command_not_found_handle
declare -f >"$0.functions"
printf "unset BASH_ENV; . %q 2>/dev/null\n" "$0.functions" >"$0.bashenv"
builtin exec env -0 >"$0.login"'
else
	# shellcheck disable=SC2016 # for the shell that it starts
	SKY__LOGIN='for f in /etc/profile "$HOME/.profile"; do
	[ ! -r "$f" ] || . "$f"
done
unset TERM
export -p >"$0.login" && echo "# whole" >>"$0.login"'
fi
( # a subshell leads no process group, so that setsid need not fork
	umask 077
	: >"$1.login"
	: >"$1.bashenv"
	SKY__NEXT=
	! command -v setsid >/dev/null || SKY__NEXT=setsid
	! command -v timeout >/dev/null || SKY__NEXT="$SKY__NEXT timeout -s KILL 60"
	# shellcheck disable=SC2086 # words on purpose
	exec env -i HOME="$HOME" PATH="$PATH" USER="${USER:-}" LOGNAME="${LOGNAME:-}" SHELL="${SHELL:-/bin/sh}" TERM=dumb \
		LANG="${LANG:-}" ${SKY_JOB_ID:+"SKY_JOB_ID=$SKY_JOB_ID"} ${SKY_JOB_MARK:+"SKY_JOB_MARK=$SKY_JOB_MARK"} \
		$SKY__NEXT ${SKY__BASH:-sh} ${SKY__BASH:+-l -i} -c "$SKY__LOGIN" "$1"
) </dev/null >/dev/null 2>&1

# What interprets the script, run by name, since its folder may forbid execution.
SKY__PLAIN=no
IFS= read -r SKY__LINE <"$1" || :
case $SKY__LINE in
'#!'*)
	set -f
	# shellcheck disable=SC2086 # words on purpose
	set -- "$1" ${SKY__LINE#??}
	set +f
	[ $# -gt 1 ] || set -- "$1" sh
	;;
*)
	SKY__PLAIN=yes
	set -- "$1" "${SKY__BASH:-sh}"
	;;
esac
# The file comes last, the words before it.
SKY__LINE=$1
shift
set -- "$@" "$SKY__LINE"

# Both apply what the login set, where nobody has set it otherwise (bash -p reads no
# file before). Folders that
# were on the PATH before stay on it, behind the login's.
SKY__PATH=$PATH
# shellcheck disable=SC2016,SC2089 # both shells evaluate it
SKY__PATHS='
case :$SKY__PATH: in *":$HOME/.local/bin:"*) ;; *) SKY__PATH=$HOME/.local/bin:$SKY__PATH ;; esac
while [ -n "$PATH" ]; do
	SKY__NAME=${PATH%%:*}
	case :$SKY__PATH: in *":$SKY__NAME:"*) ;; *) SKY__PATH=$SKY__PATH:$SKY__NAME ;; esac
	case $PATH in *:*) PATH=${PATH#*:} ;; *) PATH= ;; esac
done
PATH=${SKY__KEEP_PATH-$SKY__PATH}'
if [ -n "$SKY__BASH" ]; then
	# shellcheck disable=SC2090 # bash evaluates it
	export SKY__PLAIN SKY__PATH SKY__PATHS
	exec bash -p -c '
while IFS= read -r -d "" SKY__VALUE; do
	SKY__NAME=${SKY__VALUE%%=*}
	case $SKY__NAME in
	PATH) SKY__PATH=${SKY__VALUE#PATH=} ;;
	TERM | SHLVL | PWD | OLDPWD | _ | SKY__* | [!A-Za-z_]* | *[!A-Za-z0-9_]*) ;;
	*) [ -n "${!SKY__NAME+set}" ] || export "$SKY__VALUE" ;;
	esac
done 2>/dev/null <"$0.login"
eval "$SKY__PATHS"
if [ "$SKY__PLAIN" = yes ] && [ -z "${BASH_ENV+set}" ] && [ -s "$0.bashenv" ]; then export BASH_ENV=$0.bashenv; fi
unset SKY__VALUE SKY__NAME SKY__PLAIN SKY__PATH SKY__PATHS SKY__KEEP_PATH
exec "$@"' "$SKY__LINE" "$@"
fi
SKY__GIVEN=$(export -p)
SKY__LOGIN=$(cat "$SKY__LINE.login" 2>/dev/null)
case $SKY__LOGIN in
*'# whole')
	eval "$SKY__LOGIN"
	SKY__PATH=$PATH
	eval "$SKY__GIVEN"
	;;
esac
eval "$SKY__PATHS"
if [ "$SKY__PLAIN" = yes ]; then
	if command -v bash >/dev/null; then # the login has found it
		shift
		set -- bash "$@"
	else
		echo "sky: there is no bash here, so the script runs in sh" >&2
	fi
fi
unset SKY__BASH SKY__PLAIN SKY__GIVEN SKY__LINE SKY__LOGIN SKY__NAME SKY__PATH SKY__PATHS SKY__KEEP_PATH
exec "$@"
