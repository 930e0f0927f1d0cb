// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// UserData is what a machine is told to do at its first boot: a script, or the
// subset of cloud-config that FluffyCloud understands.
type UserData struct {
	// Script is run as a file, if not empty.
	Script []byte
	Cloud  cloudConfig
}

// cloudConfig is a subset of cloud-init's configuration.
type cloudConfig struct {
	SSHKeys           map[string]string `yaml:"ssh_keys"`
	SSHAuthorizedKeys []string          `yaml:"ssh_authorized_keys"`
	WriteFiles        []writeFileItem   `yaml:"write_files"`
	RunCmd            []any             `yaml:"runcmd"`
}

// writeFileItem is one entry of write_files.
type writeFileItem struct {
	Path        string `yaml:"path"`
	Content     string `yaml:"content"`
	Permissions string `yaml:"permissions"`
	Encoding    string `yaml:"encoding"`
	Append      bool   `yaml:"append"`
}

// parseUserData reads user data; none is fine. Errors name the place.
func parseUserData(data []byte) (UserData, error) {
	trimmed := bytes.TrimLeft(data, "\ufeff \t\r\n")
	switch {
	case len(trimmed) == 0:
		return UserData{}, nil
	case bytes.HasPrefix(trimmed, []byte("#!")):
		return UserData{Script: trimmed}, nil
	case !bytes.HasPrefix(trimmed, []byte("#cloud-config")):
		return UserData{}, fmt.Errorf("user data begins with neither %q nor %q", "#!", "#cloud-config")
	}
	var out UserData
	if err := yaml.Unmarshal(trimmed, &out.Cloud); err != nil {
		// The full text of a YAML error quotes the source, which may hold a key.
		return UserData{}, fmt.Errorf("user data is not valid cloud-config: %s", firstLine(err))
	}
	for i, c := range out.Cloud.RunCmd {
		if _, err := commandOf(c); err != nil {
			return UserData{}, fmt.Errorf("user data: runcmd[%d]: %w", i, err)
		}
	}
	for i, f := range out.Cloud.WriteFiles {
		if _, err := f.Bytes(); err != nil {
			return UserData{}, fmt.Errorf("user data: write_files[%d]: %w", i, err)
		}
		if _, err := f.Mode(); err != nil {
			return UserData{}, fmt.Errorf("user data: write_files[%d]: %w", i, err)
		}
	}
	return out, nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// commandOf turns an entry of runcmd, a string or a list, into arguments.
func commandOf(entry any) ([]string, error) {
	switch v := entry.(type) {
	case string:
		return []string{"sh", "-c", v}, nil
	case []any:
		if len(v) == 0 {
			return nil, fmt.Errorf("is an empty list")
		}
		args := make([]string, len(v))
		for i, a := range v {
			args[i] = fmt.Sprint(a)
		}
		return args, nil
	default:
		return nil, fmt.Errorf("is neither a string nor a list")
	}
}

// Bytes is the decoded content.
func (f writeFileItem) Bytes() ([]byte, error) {
	switch f.Encoding {
	case "", "text/plain":
		return []byte(f.Content), nil
	case "b64", "base64":
		data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(f.Content))
		if err != nil {
			return nil, fmt.Errorf("content is not base64")
		}
		return data, nil
	default:
		return nil, fmt.Errorf("encoding %q is not supported; use %q or leave it out", f.Encoding, "b64")
	}
}

// Mode is the file's mode, 0644 unless told.
func (f writeFileItem) Mode() (os.FileMode, error) {
	if f.Permissions == "" {
		return 0o644, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(f.Permissions, "0o"), 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("permissions %q are not an octal mode such as %q", f.Permissions, "0644")
	}
	return os.FileMode(n), nil
}
