# SPDX-License-Identifier: MPL-2.0
#
# Makes another host key on a machine whose first one others may know, has the SSH
# server take it, and prints its public half. Connections that there are stay.
set -eu
umask 077
root=${SKY_ROOT:-}
key=$root/etc/ssh/sky_host_key
rm -f "$key.new" "$key.new.pub"
ssh-keygen -q -t ed25519 -N '' -C '' -f "$key.new" </dev/null
mv -f "$key.new.pub" "$key.pub"
mv -f "$key.new" "$key"
kill -HUP "$(cat "$root/run/sky-sshd.pid")"
cat "$key.pub"
