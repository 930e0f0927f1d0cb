# The workdir of a task that is a git repository, at one commit. Runs before the
# task's own setup, in a subshell, and may be repeated. What stands before it
# sets url and commit.
set -eu
: "${url:?}" "${commit:?}"
say() { echo "sky: the workdir: $*" >&2; }
if ! command -v git >/dev/null 2>&1; then
	say "there is no git here, so it is installed"
	become() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
	export DEBIAN_FRONTEND=noninteractive
	if command -v apt-get >/dev/null 2>&1; then
		become apt-get -o DPkg::Lock::Timeout=300 -qq update >&2 || :
		become apt-get -o DPkg::Lock::Timeout=300 -qq install -y git >&2 || :
	elif command -v dnf >/dev/null 2>&1; then
		become dnf install -y git >&2 || :
	fi
	command -v git >/dev/null 2>&1 || { say "git could not be installed: use an image that has it"; exit 1; }
fi
cd -- "$HOME/sky_workdir" || { say "there is no folder $HOME/sky_workdir"; exit 1; }
export GIT_TERMINAL_PROMPT=0
# A private repository's token comes from a variable, and goes by a pipe:
# arguments can be read by everybody. It is for the host of the URL alone, and
# encrypted: not for where that host may send git on to.
host=${url#https://}
export SKY_GIT_HOST="${host%%/*}"
# shellcheck disable=SC2016 # for the shell that git starts
helper='!f() {
	[ "$1" = get ] || return 0
	protocol="" host=""
	while IFS="=" read -r key value && [ -n "$key" ]; do
		case $key in protocol) protocol=$value ;; host) host=$value ;; esac
	done
	[ "$protocol" != https ] || [ "$host" != "$SKY_GIT_HOST" ] || printf "username=x-access-token\npassword=%s\n" "$GIT_TOKEN"
}; f'
fetch() {
	if [ -n "${GIT_TOKEN:-}" ]; then
		# The empty one takes out the image's own helpers, which could keep the token.
		git -c credential.helper= -c credential.helper="$helper" fetch -q "$@" >&2
	else
		git fetch -q "$@" >&2
	fi
}
[ -e .git ] || git init -q . || { say "git init failed in $HOME/sky_workdir"; exit 1; }
if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
	# Not every server gives out a single commit.
	fetch --depth 1 -- "$url" "$commit" 2>/dev/null ||
		fetch --tags -- "$url" '+refs/heads/*:refs/remotes/origin/*' ||
		{ say "$url could not be fetched"; exit 1; }
fi
git checkout -q -f --detach "$commit" -- >&2 || { say "$url has no commit $commit that a branch or tag leads to"; exit 1; }
say "$url at $commit"
