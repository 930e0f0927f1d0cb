#!/bin/sh
# Run at every boot by Google's guest agent: arms a timer that ends this machine
# if its launch was not recorded by the deadline. A recorded machine carries the
# attribute sky-committed, which the metadata server shows without credentials.
# Only a metadata server that answers, shows sky-deadline and not that one,
# twice, counts as proof. With a service account that may, the machine deletes
# itself; else it shuts down, after which only its disk is charged for.
state=${SKY_RUN:-/run/sky}
mkdir -p "$state" && chmod 700 "$state"
cat >"$state/dead-man" <<'SCRIPT'
md=${SKY_METADATA:-http://metadata.google.internal/computeMetadata/v1}
compute=${SKY_COMPUTE:-https://compute.googleapis.com}
get() {
  if command -v curl >/dev/null 2>&1; then
    curl -sf -m 5 -H 'Metadata-Flavor: Google' "$md/$1"
  else
    wget -q -T 5 -O - --header 'Metadata-Flavor: Google' "$md/$1"
  fi
}
end() {
  token=$(get instance/service-accounts/default/token | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p')
  if [ -n "$token" ] && command -v curl >/dev/null 2>&1; then
    me=projects/$(get project/project-id)/zones/$(get instance/zone | sed 's|.*/||')/instances/$(get instance/id)
    # The header comes over a pipe: arguments can be read by everybody.
    printf 'header = "Authorization: Bearer %s"\n' "$token" |
      curl -sf -m 30 -K - -X DELETE "$compute/compute/v1/$me" >/dev/null && sleep 60
  fi
  shutdown -h now || poweroff
}
proofs=0
while :; do
  if [ "$(date +%s)" -ge @DEADLINE@ ] && keys=$(get instance/attributes/ 2>/dev/null); then
    if echo "$keys" | grep -qx sky-committed; then
      exit 0
    fi
    if echo "$keys" | grep -qx sky-deadline; then
      proofs=$((proofs + 1))
      [ "$proofs" -ge 2 ] && end
    fi
  fi
  sleep "${SKY_PAUSE:-15}"
done
SCRIPT
if [ -z "$SKY_RUN" ] && command -v systemd-run >/dev/null 2>&1 &&
  systemd-run --quiet --no-block --unit=sky-dead-man /bin/sh "$state/dead-man"; then
  exit 0
fi
setsid /bin/sh "$state/dead-man" </dev/null >/dev/null 2>&1 &
