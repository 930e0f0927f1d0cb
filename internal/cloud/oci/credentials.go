// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"cmp"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/common"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/localfile"
)

// credentials sign calls; they are a common.ConfigurationProvider.
type credentials struct {
	profile                           string
	tenancy, user, fingerprint, where string
	key                               *rsa.PrivateKey
	// tokenFile holds a session token, which takes the place of user and fingerprint.
	tokenFile string
}

var _ common.ConfigurationProvider = (*credentials)(nil)

const maxCredentialFile = 1 << 20

// advice says what enables the cloud.
const advice = "run oci setup config or oci session authenticate, which write ~/.oci/config, or set tenancy, user, fingerprint, private_key and region in clouds.oci"

// configFile is the file with profiles, and whether the user named it.
func configFile(values map[string]string) (path string, named bool, err error) {
	if path = values[optionConfigFile]; path != "" {
		path, err = expand(path)
		return path, true, err
	}
	path, err = expand("~/.oci/config")
	return path, false, err
}

// expand replaces a tilde by the home folder.
func expand(path string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find %s: %w", path, err)
	}
	return filepath.Join(home, filepath.FromSlash(rest)), nil
}

// readProfile are the keys of a profile; one that is not there is empty. What a
// profile does not say, the profile DEFAULT says.
func readProfile(text, profile string) (keys map[string]string, found bool) {
	keys, defaults := map[string]string{}, map[string]string{}
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok {
			section = strings.TrimSpace(strings.TrimSuffix(name, "]"))
			found = found || section == profile
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if section == profile {
			keys[name] = value
		}
		if section == "DEFAULT" {
			defaults[name] = value
		}
	}
	for name, value := range defaults {
		// A session's profile has no user, and must not borrow another's.
		if _, ok := keys[name]; !ok && name != "security_token_file" && (name != "user" || keys["security_token_file"] == "") {
			keys[name] = value
		}
	}
	return keys, found
}

// profileOf reads the user's profile, where there is a file. One that was named,
// by path or profile, must be there, unless the settings say all without it.
func profileOf(values map[string]string) (keys map[string]string, profile string, err error) {
	profile = cmp.Or(values[optionProfile], "DEFAULT")
	path, named, err := configFile(values)
	if err != nil {
		return nil, profile, &fleet.AuthError{Advice: advice, Err: err}
	}
	complete := values[optionTenancy] != "" && values[optionKey] != "" && values[optionRegion] != ""
	text, err := localfile.Read(path, maxCredentialFile)
	switch {
	case err != nil && complete && !named:
		return map[string]string{}, profile, nil
	case err != nil:
		return nil, profile, &fleet.AuthError{Advice: advice, Err: err}
	}
	keys, found := readProfile(string(text), profile)
	if !found && (values[optionProfile] != "" || !complete) {
		return nil, profile, &fleet.AuthError{Advice: "choose a profile that is there with profile or OCI_CLI_PROFILE, or " + advice, Err: fmt.Errorf("%s has no profile %q", path, profile)}
	}
	return keys, profile, nil
}

// findCredentials brings settings and profile together.
func findCredentials(values map[string]string) (*credentials, error) {
	keys, profile, err := profileOf(values)
	if err != nil {
		return nil, err
	}
	get := func(option, key string) string { return cmp.Or(values[option], keys[key]) }
	c := &credentials{
		profile: profile, tenancy: get(optionTenancy, "tenancy"), user: get(optionUser, "user"), fingerprint: get(optionFinger, "fingerprint"),
		where: get(optionRegion, "region"), tokenFile: get(optionTokenFile, "security_token_file"),
	}
	if values[optionUser] != "" && values[optionTokenFile] == "" {
		c.tokenFile = "" // an API key that was set beats a session that a profile has
	}
	var lacking []string
	for name, value := range map[string]string{"tenancy": c.tenancy, "region": c.where, "a private key": get(optionKey, "key_file")} {
		if value == "" {
			lacking = append(lacking, name)
		}
	}
	if c.tokenFile == "" && (c.user == "" || c.fingerprint == "") {
		lacking = append(lacking, "user and fingerprint, or a session token")
	}
	if len(lacking) > 0 {
		return nil, &fleet.AuthError{Advice: advice, Err: fmt.Errorf("profile %q and the settings lack %s", profile, joined(lacking))}
	}
	if c.key, err = privateKey(get(optionKey, "key_file"), get(optionPassword, "pass_phrase")); err != nil {
		return nil, &fleet.AuthError{Advice: "private_key, or key_file of the profile, must be an RSA key in PEM form; pass_phrase opens an encrypted one", Err: err}
	}
	if c.tokenFile != "" {
		if c.tokenFile, err = expand(c.tokenFile); err == nil {
			_, err = c.token()
		}
		if err != nil {
			return nil, &fleet.AuthError{Advice: "run oci session authenticate", Err: err}
		}
	}
	return c, nil
}

// privateKey reads a key, of which pem is the text or the file. Its errors say
// nothing of what it holds.
func privateKey(pem, password string) (*rsa.PrivateKey, error) {
	text := []byte(pem)
	if !strings.Contains(pem, "-----BEGIN") {
		path, err := expand(pem)
		if err == nil {
			text, err = localfile.Read(path, maxCredentialFile)
		}
		if err != nil { // what was taken for a path may be the key in another form: it is never quoted
			return nil, errors.New("the private key is neither PEM text, with its line -----BEGIN, nor the path of a file that can be read")
		}
	}
	var phrase *string
	if password != "" {
		phrase = &password
	}
	key, err := common.PrivateKeyFromBytes(text, phrase)
	if err != nil {
		return nil, errors.New("the private key cannot be read; it may be encrypted with another pass phrase, or none")
	}
	return key, nil
}

// MissingCredentials implements cloud.Keyless.
func (Factory) MissingCredentials(creds cloud.Credentials) string {
	if _, err := findCredentials(creds.Values); err != nil {
		return "no usable credentials: " + err.Error()
	}
	return ""
}

// token reads the session token anew, since others refresh it.
func (c *credentials) token() (string, error) {
	text, err := localfile.Read(c.tokenFile, maxCredentialFile)
	if err != nil {
		return "", fmt.Errorf("session token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("session token: %s is empty", c.tokenFile)
	}
	return token, nil
}

// KeyID implements common.KeyProvider.
func (c *credentials) KeyID() (string, error) {
	if c.tokenFile == "" {
		return c.tenancy + "/" + c.user + "/" + c.fingerprint, nil
	}
	token, err := c.token()
	return "ST$" + token, err
}

// PrivateRSAKey implements common.KeyProvider.
func (c *credentials) PrivateRSAKey() (*rsa.PrivateKey, error) { return c.key, nil }

// TenancyOCID implements common.ConfigurationProvider.
func (c *credentials) TenancyOCID() (string, error) { return c.tenancy, nil }

// UserOCID implements common.ConfigurationProvider.
func (c *credentials) UserOCID() (string, error) { return c.user, nil }

// KeyFingerprint implements common.ConfigurationProvider.
func (c *credentials) KeyFingerprint() (string, error) { return c.fingerprint, nil }

// Region implements common.ConfigurationProvider.
func (c *credentials) Region() (string, error) { return c.where, nil }

// AuthType implements common.ConfigurationProvider.
func (*credentials) AuthType() (common.AuthConfig, error) {
	return common.AuthConfig{AuthType: common.UserPrincipal}, nil
}
