# Ends the watchdog of a cluster for good.
dir=$HOME/.sky/autostop
[ -d "$dir" ] || exit 0
rm -f -- "$dir/conf" "$dir/pid" "$dir/hook.failed"
if [ -e /etc/systemd/system/sky-autostop.service ]; then
	privileged systemctl disable --quiet --now sky-autostop.service
	privileged rm -f /etc/systemd/system/sky-autostop.service
	privileged systemctl daemon-reload
fi
if command -v crontab >/dev/null 2>&1 && crontab -l 2>/dev/null | grep -qF sky/autostop/watchdog.sh; then
	crontab -l | grep -vF sky/autostop/watchdog.sh | crontab - || exit 1
fi
exit 0
