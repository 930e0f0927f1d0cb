# SPDX-License-Identifier: MPL-2.0
#
# What the container of a pod runs as its command, as root: an SSH server for the
# keys that came with it, under the host key that came with it until the pod made
# another, and nothing that ends. Needs a POSIX shell; before it stand host_key and
# authorized_keys, which print them. Every start of the container runs it again.
set -u
umask 077
root=${SKY_ROOT:-} # where tests have their pods
rm -f "$0"         # it has a private key in it

say() { echo "sky: $*" >&2; }

# The names of packages are the same everywhere but on Alpine.
install_sshd() {
	say "this image has no SSH server: installing one"
	for _ in 1 2 3; do
		if command -v apt-get >/dev/null; then
			export DEBIAN_FRONTEND=noninteractive
			apt-get -qq update && apt-get -qq install -y --no-install-recommends openssh-server ca-certificates
		elif command -v apk >/dev/null; then
			apk add --no-cache openssh ca-certificates bash
		elif command -v dnf >/dev/null; then
			dnf -q -y install openssh-server ca-certificates
		elif command -v yum >/dev/null; then
			yum -q -y install openssh-server ca-certificates
		else
			say "no package manager is known here"
			return 1
		fi && return 0
		sleep 5
	done
	return 1
}

mkdir -p "$root/etc/ssh" "$root/etc/profile.d" "$root/run/sshd" "$root/root/.ssh"
chmod 755 "$root/etc/ssh" "$root/etc/profile.d" "$root/run/sshd"
[ -s "$root/etc/ssh/sky_host_key" ] || host_key >"$root/etc/ssh/sky_host_key"
touch "$root/root/.ssh/authorized_keys"
authorized_keys | while IFS= read -r key; do
	grep -qxF -- "$key" "$root/root/.ssh/authorized_keys" || printf '%s\n' "$key" >>"$root/root/.ssh/authorized_keys"
done

# A login has what the image says of its programs and libraries, and nothing of
# RunPod's key.
for name in PATH LD_LIBRARY_PATH LIBRARY_PATH CUDA_HOME CUDA_VERSION NVIDIA_VISIBLE_DEVICES NVIDIA_DRIVER_CAPABILITIES LANG; do
	eval "[ -n \"\${$name:-}\" ]" || continue
	eval "value=\$$name"
	printf "export %s='%s'\n" "$name" "$(printf %s "${value:?}" | sed "s/'/'\\\\''/g")"
done >"$root/etc/profile.d/00-sky-image.sh"
chmod 644 "$root/etc/profile.d/00-sky-image.sh"

sshd=$(command -v sshd || echo /usr/sbin/sshd)
if [ ! -x "$sshd" ]; then
	install_sshd || say "there is no SSH server, so nobody will reach this pod"
	sshd=$(command -v sshd || echo /usr/sbin/sshd)
fi
pam=no
[ ! -e /etc/pam.d/sshd ] || pam=yes
cat >"$root/etc/ssh/sky_sshd_config" <<END
Port 22
HostKey $root/etc/ssh/sky_host_key
PidFile $root/run/sky-sshd.pid
AuthorizedKeysFile .ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM $pam
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
MaxSessions 200
MaxStartups 150:30:200
END
"$sshd" -f "$root/etc/ssh/sky_sshd_config" || say "the SSH server did not start"

# Where the command of a container ends RunPod starts the container anew.
while :; do
	sleep 3600 &
	wait $!
done
