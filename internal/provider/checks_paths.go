// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
)

// checkOutput is for patterns of files on the machines.
func checkOutput(pattern string) error {
	if strings.ContainsRune(pattern, '\n') {
		return fmt.Errorf("the pattern %q holds a line break; write one pattern an element", pattern)
	}
	if slices.Contains(strings.Split(pattern, "/"), "..") {
		return fmt.Errorf("the pattern %q holds \"..\"; write an absolute one, or one that starts with \"~/\"", pattern)
	}
	return checkBlank(pattern)
}

// checkOutputFolder is for where files of the machines go on this computer.
func checkOutputFolder(name string) error {
	if strings.TrimSpace(name) == "" {
		return errors.New("the folder is empty; write one such as \"./results\"")
	}
	if err := checkText(name); err != nil {
		return err
	}
	return checkNewFolder(name)
}

// checkFolder is for settings that must name a folder of this computer.
func checkFolder(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("the folder %q cannot be used: %w", name, plainPathError(err))
	}
	if !info.IsDir() {
		return fmt.Errorf("%q is a file; name a folder", name)
	}
	return nil
}

// checkNewFolder is for folders that are made where they are missing: nothing
// else may stand in the way.
func checkNewFolder(name string) error {
	for at := filepath.Clean(expandHome(name)); ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case err == nil && !info.IsDir():
			return fmt.Errorf("the folder %q cannot be made: %q is a file; name a folder", name, at)
		case err == nil, at == filepath.Dir(at):
			return nil
		}
	}
}

// laterHint is for files that another resource of the same apply will make.
const laterHint = "; if another resource makes it, derive this path from an attribute that is known only after that, such as its id"

// checkWorkdir refuses what could not be uploaded: nothing there, no folder,
// something unreadable.
func checkWorkdir(name string) error {
	if err := checkLocal(name); err != nil {
		return err
	}
	if err := checkFolder(name); err != nil {
		return fmt.Errorf("%w%s", err, laterHint)
	}
	return checkSource(name)
}

// checkLocal refuses what SkyPilot's users may mean to be fetched from elsewhere.
func checkLocal(name string) error {
	if name == "" {
		return errors.New("the path is empty; leave it out, or write one such as \"./src\"")
	}
	if scheme, _, ok := strings.Cut(name, "://"); ok && !strings.Contains(scheme, "/") {
		return fmt.Errorf("%q cannot be uploaded: only local files and folders are uploaded; fetch it on the machines, in setup", name)
	}
	return nil
}

// checkSource reads a file or folder through, as an upload would.
func checkSource(name string) error {
	if err := checkLocal(name); err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("%q cannot be uploaded: %w%s", name, plainPathError(err), laterHint)
	}
	if !info.IsDir() {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("%q cannot be uploaded: %w", name, plainPathError(err))
		}
		defer func() { _ = f.Close() }()
		if _, err := f.Read(make([]byte, 1)); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%q cannot be uploaded: %w", name, plainPathError(err))
		}
		return nil
	}
	if _, err := os.ReadDir(name); err != nil {
		return fmt.Errorf("%q cannot be uploaded: %w", name, plainPathError(err))
	}
	if _, err := broker.Digest(name); err != nil {
		return fmt.Errorf("%q cannot be uploaded: %w", name, err)
	}
	return nil
}

// plainPathError is a path error without the path, which the caller names.
func plainPathError(err error) error {
	if pe := (*os.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// checkRemotePath is for where files go on the machines.
func checkRemotePath(name string) error {
	const right = "write an absolute path or one under \"~/\", such as \"~/data\""
	switch {
	case strings.TrimSpace(name) == "":
		return errors.New("the path on the machines is empty; " + right)
	case checkText(name) != nil || strings.ContainsRune(name, '\n'):
		return fmt.Errorf("the path %q on the machines holds a control character; %s", name, right)
	case !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "~/"):
		return fmt.Errorf("the path %q on the machines is relative; %s", name, right)
	case path.Clean(name) == "/" || path.Clean(name) == "~":
		return fmt.Errorf("the path %q would replace a whole file system or home folder; %s", name, right)
	}
	return nil
}

// expandHome replaces a leading "~/" by the home folder.
func expandHome(name string) string {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return name
}
