// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// prepareDisk makes the folders, the login keys, the token and the image's own
// commands. What the user changed on the disk stays.
func prepareDisk(p Paths, cfg Config) error {
	for _, dir := range []string{p.Disk(), p.Home(), p.Bin(), p.Tmp(), filepath.Dir(p.HostKey()), filepath.Dir(p.AuthorizedKeys())} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("prepare disk: %w", err)
		}
	}
	if err := addAuthorizedKeys(p, cfg.AuthorizedKeys); err != nil {
		return err
	}
	if err := WriteFile(p.Token(), []byte(cfg.Token+"\n"), 0o600); err != nil {
		return err
	}
	return writeShims(p, cfg.Command)
}

// addAuthorizedKeys appends the keys that are not there yet.
func addAuthorizedKeys(p Paths, keys []string) error {
	have, err := os.ReadFile(p.AuthorizedKeys())
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("read authorized keys: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(have)), "\n")
	for _, k := range keys {
		if k = strings.TrimSpace(k); k != "" && !slices.Contains(lines, k) {
			lines = append(lines, k)
		}
	}
	text := strings.TrimSpace(strings.Join(lines, "\n")) + "\n"
	return WriteFile(p.AuthorizedKeys(), []byte(text), 0o600)
}

// writeShims makes the image's commands: small scripts that run this binary. A
// binary that was replaced since is still there as the machine's own process.
func writeShims(p Paths, command []string) error {
	shims := map[string][]string{
		"ssh":              {"ssh-client"},
		"fluffycloud-self": {"self"},
		"shutdown":         {"self", "stop"},
		"poweroff":         {"self", "stop"},
		"halt":             {"self", "stop"},
	}
	for name, args := range shims {
		pass := ` "$@"`
		if len(args) > 1 {
			pass = ""
		}
		script := fmt.Sprintf("#!/bin/sh\nexe=%s\n[ -x \"$exe\" ] || exe=/proc/%d/exe\nexec \"$exe\" %s%s\n",
			quote(command[0]), os.Getpid(), quoteAll(append(slices.Clone(command[1:]), args...)), pass)
		if err := WriteFile(filepath.Join(p.Bin(), name), []byte(script), 0o755); err != nil {
			return err
		}
	}
	return WriteFile(filepath.Join(p.Bin(), "crontab"), []byte(crontabScript(p)), 0o755)
}

// crontabScript is cron's own command. The table is a file of the disk.
func crontabScript(p Paths) string {
	return "#!/bin/sh\ntab=" + quote(p.Crontab()) + `
case ${1:-} in
-l) [ -e "$tab" ] || { echo "no crontab for ` + User + `" >&2; exit 1; }; exec cat "$tab" ;;
-r) exec rm -f "$tab" ;;
-*[!-]*) echo "usage: crontab [-l | -r | - | file]" >&2; exit 2 ;;
esac
case ${1:--} in
-) cat >"$tab.$$" ;;
*) cat -- "$1" >"$tab.$$" ;;
esac && mv -f "$tab.$$" "$tab"
`
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, " ")
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// shell is the user's login shell.
func shell() string {
	for _, sh := range []string{"/bin/bash", "/usr/bin/bash"} {
		if _, err := os.Stat(sh); err == nil {
			return sh
		}
	}
	return "/bin/sh"
}

// environment is what the machine's processes start with, and all they start
// with: nothing of the cloud's own environment goes in.
func environment(p Paths, cfg Config, address, metadataURL string) []string {
	path := []string{p.Bin(), "/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"}
	return []string{
		"PATH=" + strings.Join(path, ":"),
		"HOME=" + p.Home(),
		"USER=" + User,
		"LOGNAME=" + User,
		"SHELL=" + shell(),
		"LANG=C.UTF-8",
		"TMPDIR=" + p.Tmp(),
		markKey + "=" + cfg.ID,
		"FLUFFYCLOUD_INSTANCE_ID=" + cfg.ID,
		"FLUFFYCLOUD_BOOT=" + strconv.FormatInt(time.Now().UnixNano(), 36), // the kernel's boot id is the computer's
		"FLUFFYCLOUD_REGION=" + cfg.Region,
		"FLUFFYCLOUD_ZONE=" + cfg.Zone,
		"FLUFFYCLOUD_PRIVATE_IP=" + address,
		"FLUFFYCLOUD_METADATA_URL=" + metadataURL,
		"FLUFFYCLOUD_METADATA_TOKEN_FILE=" + p.Token(),
	}
}
