// SPDX-License-Identifier: MPL-2.0

package kit

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/localfile"
)

// CheckOutput is for patterns of files on the machines.
func CheckOutput(pattern string) error {
	if strings.ContainsRune(pattern, '\n') {
		return fmt.Errorf("the pattern %q holds a line break; write one pattern an element", pattern)
	}
	if slices.Contains(strings.Split(pattern, "/"), "..") {
		return fmt.Errorf("the pattern %q holds \"..\"; write an absolute one, or one that starts with \"~/\"", pattern)
	}
	return CheckBlank(pattern)
}

// CheckOutputName is for what names a local folder for files of the machines.
func CheckOutputName(name string) error {
	if strings.TrimSpace(name) == "" {
		return errors.New("the folder is empty; write one such as \"./results\"")
	}
	return CheckText(name)
}

// CheckOutputFolder is checkOutputName that looks whether it can be made.
func CheckOutputFolder(name string) error {
	if err := CheckOutputName(name); err != nil {
		return err
	}
	return CheckNewFolder(name)
}

// CheckFolder is for settings that must name a folder of this computer.
func CheckFolder(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("the folder %q cannot be used: %w", name, PlainPathError(err))
	}
	if !info.IsDir() {
		return fmt.Errorf("%q is a file; name a folder", name)
	}
	return nil
}

// CheckNewFolder is for folders that are made where they are missing: nothing
// else may stand in the way.
func CheckNewFolder(name string) error {
	for at := filepath.Clean(ExpandHome(name)); ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case err == nil && !info.IsDir():
			return fmt.Errorf("the folder %q cannot be made: %q is a file; name a folder", name, at)
		case err == nil, at == filepath.Dir(at):
			return nil
		}
	}
}

// LaterHint is for files that another resource of the same apply will make.
const LaterHint = "; if another resource makes it, derive this path from an attribute that is known only after that, such as its id"

// CheckLocal refuses what SkyPilot's users may mean to be fetched from elsewhere.
func CheckLocal(name string) error {
	if name == "" {
		return errors.New("the path is empty; leave it out, or write one such as \"./src\"")
	}
	if scheme, _, ok := strings.Cut(name, "://"); ok && !strings.Contains(scheme, "/") {
		return fmt.Errorf("%q cannot be uploaded: only local files and folders are uploaded; fetch it on the machines, in setup", name)
	}
	return nil
}

// PlainPathError is a path error without the path, which the caller names.
func PlainPathError(err error) error {
	if pe := (*os.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// CheckRemotePath is for where files go on the machines.
func CheckRemotePath(name string) error {
	const right = "write an absolute path or one under \"~/\", such as \"~/data\""
	clean := path.Clean(name)
	switch {
	case strings.TrimSpace(name) == "":
		return errors.New("the path on the machines is empty; " + right)
	case CheckText(name) != nil || strings.ContainsRune(name, '\n'):
		return fmt.Errorf("the path %q on the machines holds a control character; %s", name, right)
	case !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "~/"):
		return fmt.Errorf("the path %q on the machines is relative; %s", name, right)
	case clean == "/" || clean == "~" || clean == "/root" || clean == "/home" || path.Dir(clean) == "/home":
		return fmt.Errorf("the path %q would replace a whole file system or home folder; %s", name, right)
	case !strings.HasPrefix(clean, "/") && !strings.HasPrefix(clean, "~/"):
		return fmt.Errorf("the path %q leads out of the home folder; write it as an absolute path", name)
	}
	home := InHome(clean)
	switch top, rest, _ := strings.Cut(home, "/"); {
	case top == ".sky":
		return fmt.Errorf("the path %q is in ~/.sky, the provider's own folder on the machines; %s", name, right)
	case top == ".ssh" && ownKeys(rest):
		return fmt.Errorf("the path %q would replace the keys that let the provider in; write them in setup, with >> to the end of ~/.ssh/authorized_keys", name)
	}
	return nil
}

// InHome is a clean path on the machines relative to the home folder that it is
// in, as far as its text tells; empty where it is in none.
func InHome(clean string) string {
	for _, home := range []string{"~/", "/root/"} {
		if rest, ok := strings.CutPrefix(clean, home); ok {
			return rest
		}
	}
	if rest, ok := strings.CutPrefix(clean, "/home/"); ok {
		_, rest, _ = strings.Cut(rest, "/")
		return rest
	}
	return ""
}

// ownKeys reports whether a path in ~/.ssh is of the files that say who may log in.
func ownKeys(name string) bool {
	top, _, _ := strings.Cut(name, "/")
	return top == "authorized_keys" || top == "authorized_keys2"
}

// ExpandHome replaces a leading "~/" by the home folder.
func ExpandHome(name string) string { return localfile.ExpandHome(name) }

// LocalText is a path under the home folder as "~/...", which names the same file
// for everybody; another one stays as it is.
func LocalText(path string) string {
	home, err := os.UserHomeDir()
	if err != nil || path == "" {
		return path
	}
	rest, ok := strings.CutPrefix(path, strings.TrimRight(home, string(filepath.Separator))+string(filepath.Separator))
	if !ok {
		return path
	}
	return "~/" + filepath.ToSlash(rest)
}
