# Starts the watchdog of a cluster on its head, so that it runs after a reboot,
# too, and prints by whose means: systemd, cron or none. Its files are there.
dir=$HOME/.sky/autostop
by_systemd() {
	[ "${process_manager?}" = auto ] && [ -d /run/systemd/system ] || return 1
	privileged tee /etc/systemd/system/sky-autostop.service >/dev/null 2>&1 <<UNIT || return 1
[Unit]
Description=Ends this cluster when it is idle
After=network.target

[Service]
User=$(id -un)
Environment="HOME=$HOME" "PATH=$PATH"
ExecStart=/bin/sh -c 'exec sh "$dir/watchdog.sh" run >>"$dir/log" 2>&1'
Restart=on-failure
RestartSec=10
KillMode=process
IgnoreSIGPIPE=no

[Install]
WantedBy=multi-user.target
UNIT
	privileged systemctl daemon-reload && privileged systemctl enable --quiet sky-autostop.service &&
		privileged systemctl restart sky-autostop.service
}
by_cron() {
	command -v crontab >/dev/null 2>&1 || return 1
	{
		crontab -l 2>/dev/null | grep -vF sky/autostop/watchdog.sh
		echo "@reboot sh '$dir/watchdog.sh' run >>'$dir/log' 2>&1"
	} | crontab - || return 1
}
by_hand() {
	if command -v setsid >/dev/null 2>&1; then
		setsid sh "$dir/watchdog.sh" run </dev/null >>"$dir/log" 2>&1 &
	else
		nohup sh "$dir/watchdog.sh" run </dev/null >>"$dir/log" 2>&1 &
	fi
}
rm -f -- "$dir/pid" # the present watchdog, if there is one, makes room
if by_systemd; then
	by=systemd
else
	by=none
	! by_cron || by=cron
	by_hand
fi
t=0
until line "$dir/pid" && kill -0 "$line" 2>/dev/null; do
	t=$((t + 1))
	[ "$t" -lt 150 ] || { echo "the watchdog does not run: $(tail -c 400 "$dir/log" 2>&1)" >&2; exit 1; }
	nap
done
echo "$by"
