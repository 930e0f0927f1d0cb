# step.sh DIR FILE RANK ID MANAGER LIMIT BOOT
#
# Becomes the user's script. The user's variables are set by now and may have
# any name, so this sets no other than SKY_JOB_ID and SKY_JOB_MARK.
umask 022
ulimit -f "$6" 2>/dev/null || : # a mark, see runner.sh; where less is allowed there is none
SKY_JOB_ID=$4 SKY_JOB_MARK=$4.$3.
export SKY_JOB_ID SKY_JOB_MARK
(born "$$" || : && printf 'boot=%s\npid=%s\nborn=%s\n' "$7" "$$" "$born") >"$1/pid.$3"
if [ "$5" = auto ] && [ -d /run/systemd/system ]; then
	# Move into a control group of its own, through the system's manager: units
	# of a user can end when the user logs out.
	set -- "$@" busctl call --quiet org.freedesktop.systemd1 /org/freedesktop/systemd1 \
		org.freedesktop.systemd1.Manager StartTransientUnit 'ssa(sv)a(sa(sv))' \
		"sky-$4-$3.scope" replace 1 PIDs au 1 "$$" 0
	(shift 7 && privileged "$@") >/dev/null 2>&1 && : >"$1/scope.$3"
	# The manager answers before it has moved us; what starts earlier is not held.
	set -- "$1" "$2" "$3" "$4" 40
	while [ -e "$1/scope.$3" ] && ! grep -qF "sky-$4-$3.scope" /proc/self/cgroup; do
		sleep 0.05 2>/dev/null || sleep 1
		set -- "$1" "$2" "$3" "$4" $(($5 - 1))
		if [ "$5" -le 0 ]; then rm -f -- "$1/scope.$3"; fi
	done
fi
exec sh "$1/start.sh" "$1/$2"
