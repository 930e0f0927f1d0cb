# Prints the public half of the cluster's own key, made on first use: by
# ssh-keygen, else the pair given ($public, and the private half on standard input).
umask 077
: "${public:?}"
keys=$HOME/.sky/cluster
if [ ! -s "$keys/key.pub" ]; then
	stage=$keys.$$
	trap 'rm -rf -- "$stage"' EXIT
	mkdir -p -- "$stage" || exit 1
	if ! command -v ssh-keygen >/dev/null 2>&1 || ! ssh-keygen -q -t ed25519 -N '' -C sky-cluster -f "$stage/key" </dev/null >/dev/null 2>&1; then
		rm -f -- "$stage"/*
		cat >"$stage/key" && printf '%s\n' "$public" >"$stage/key.pub" || exit 1
	fi
	sync "$stage"/* 2>/dev/null || sync
	mv -- "$stage" "$keys" 2>/dev/null # into the folder, or not at all, where another call was first
	rm -rf -- "${keys:?}/${stage##*/}"
fi
cat -- "$keys/key.pub"
