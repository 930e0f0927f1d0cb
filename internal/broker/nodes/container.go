// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/script"
)

// Container is what setup and jobs run in, one on each node.
type Container struct {
	// Image has its registry.
	Image string
	// Login is that to the registry; the zero value is none.
	Login RegistryLogin
	// Engine is the template's shell that installs Docker or Podman; empty is that
	// the machine's image must have one.
	Engine string
}

// RegistryLogin is a login to the registry of an image. It is kept nowhere: a node
// has it in memory while it pulls.
type RegistryLogin struct{ Username, Password string }

// dockerHub is what Docker calls its own registry where logins are.
const dockerHub = "https://index.docker.io/v1/"

// login is a config.json for the registry of the image; empty is none.
func (c Container) login() []byte {
	if c.Login == (RegistryLogin{}) {
		return nil
	}
	type auth struct {
		Auth string `json:"auth"`
	}
	one := auth{base64.StdEncoding.EncodeToString([]byte(c.Login.Username + ":" + c.Login.Password))}
	registries := map[string]auth{cloud.RegistryOf(c.Image): one}
	if cloud.RegistryOf(c.Image) == "docker.io" {
		registries[dockerHub] = one
	}
	text, _ := json.Marshal(map[string]any{"auths": registries}) //nolint:errchkjson // strings
	return text
}

// contain sees that the container is there and runs. It may be repeated: what runs
// goes on. What fails is the image's fault, or the machine's image's: it would fail
// elsewhere as well.
func (n nodeSetup) contain(ctx context.Context) error {
	c := n.work.Container
	if c == nil {
		return nil
	}
	put := func(name, text string) string {
		return fmt.Sprintf("printf %%s %s >%[2]s.new && mv -f %[2]s.new %[2]s || exit 1\n", script.Quote(text), name)
	}
	login, mode := c.login(), ""
	if login != nil {
		mode = "login"
	}
	text := "umask 077\nmkdir -p ~/" + script.ContainerFolder + " && cd ~/" + script.ContainerFolder + " || exit 1\n" +
		put("install.sh", c.Engine) + put("container.sh", script.Container()) +
		fmt.Sprintf("exec sh container.sh up %s %s %s\n", script.Quote(c.Image), script.Quote(fmt.Sprintf("sky-%s-%d", n.cluster.Generation, n.rank)), mode)
	return OverLinks(ctx, func() error {
		return n.containerCommand(ctx, "the start of the container on", remote.Command{Script: text, Stdin: bytes.NewReader(login)})
	})
}

// linkMounts shows the file mounts beside the home folder within the container,
// where scripts run in one.
func (n nodeSetup) linkMounts(ctx context.Context, paths []string) error {
	var words strings.Builder
	for _, path := range slices.Sorted(slices.Values(paths)) {
		if strings.HasPrefix(path, "/") {
			words.WriteString(" " + script.Quote(strings.TrimRight(path, "/")))
		}
	}
	if words.Len() == 0 {
		return nil
	}
	text := "[ -e ~/" + script.ContainerFolder + "/conf ] || exit 0\nexec sh ~/" + script.ContainerFolder + "/container.sh link" + words.String() + "\n"
	return OverLinks(ctx, func() error {
		return n.containerCommand(ctx, "mounts in the container on", remote.Command{Script: text})
	})
}

func (n nodeSetup) containerCommand(ctx context.Context, what string, cmd remote.Command) error {
	out := &tail{limit: 4 << 10}
	lines := newLogLines(ctx, n.log.With("rank", n.rank, "script", "container"))
	both := &inTurn{w: io.MultiWriter(out, lines)}
	cmd.Stdout, cmd.Stderr = both, both
	code, err := n.client.Run(ctx, cmd)
	lines.flush()
	if err != nil {
		return fmt.Errorf("%s rank %d: %w", what, n.rank, err)
	}
	if code == 0 {
		return nil
	}
	return &SetupError{Cluster: n.cluster.Name, What: what, Rank: n.rank, ExitCode: code, Tail: out.String(), LogPath: n.logPath}
}
