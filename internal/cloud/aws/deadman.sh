#!/bin/sh
# Run at every boot by cloud-init: arms a timer that removes this machine if
# its launch was not recorded by the deadline. A recorded machine carries the
# tag sky-committed, which the metadata service shows without credentials. Only
# a metadata service that answers, shows the owner's tag and not that one, twice,
# counts as proof; the machine was launched to terminate when it shuts down.
mkdir -p /run/sky && chmod 700 /run/sky
cat >/run/sky/dead-man <<'SCRIPT'
imds=http://169.254.169.254/latest
tags() {
  if command -v curl >/dev/null 2>&1; then
    token=$(curl -sf -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$imds/api/token") &&
      curl -sf -m 5 -H "X-aws-ec2-metadata-token: $token" "$imds/meta-data/tags/instance/"
  else
    python3 -c '
import sys, urllib.request as u
def get(path, method, **headers):
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    return u.urlopen(u.Request(sys.argv[1] + path, method=method, headers=headers), timeout=5).read().decode()
token = get("/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")
print(get("/meta-data/tags/instance/", "GET", X_aws_ec2_metadata_token=token))' "$imds"
  fi
}
proofs=0
while :; do
  if [ "$(date +%s)" -ge @DEADLINE@ ] && keys=$(tags 2>/dev/null); then
    if echo "$keys" | grep -qx sky-committed; then
      exit 0
    fi
    if echo "$keys" | grep -qx sky-owner; then
      proofs=$((proofs + 1))
      [ "$proofs" -ge 2 ] && { shutdown -h now || poweroff; }
    fi
  fi
  sleep 15
done
SCRIPT
if command -v systemd-run >/dev/null 2>&1 &&
  systemd-run --quiet --no-block --unit=sky-dead-man /bin/sh /run/sky/dead-man; then
  exit 0
fi
setsid /bin/sh /run/sky/dead-man </dev/null >/dev/null 2>&1 &
