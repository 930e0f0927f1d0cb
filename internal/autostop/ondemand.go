// SPDX-License-Identifier: MPL-2.0

package autostop

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/script"
)

// MostExtended bounds by how much one call of Extend keeps a cluster.
const MostExtended = 7 * 24 * time.Hour

// Errors of Extend.
var (
	ErrNone = errors.New("it has no autostop, so there is no time to extend")
	errOld  = errors.New("its watchdog was installed by an earlier version of the provider, which knows no extension; a change of autostop, such as of idle_minutes, installs this one's")
)

// Extend keeps the watchdog on the head from ending the cluster for that long, from
// now on; afterwards the idle time begins anew. Another extension replaces it, and a
// start of the machine or a change of autostop ends it.
func Extend(ctx context.Context, head remote.Shell, by time.Duration) error {
	if by <= 0 || by > MostExtended {
		return fmt.Errorf("an extension of %s: it must be more than nothing, and %s at most", by, MostExtended)
	}
	out, err := remote.Output(ctx, head, remote.Command{
		Script: fmt.Sprintf("set -- extend %d\n", int(math.Ceil(by.Seconds()))) + script.OnNode(watchdogScript),
	})
	if err != nil {
		return fmt.Errorf("extend the time of autostop: %w", err)
	}
	switch word := strings.TrimSpace(out); word {
	case "extended":
		return nil
	case "ending":
		return ErrEnding
	case "none":
		return ErrNone
	case "old":
		return errOld
	default:
		return fmt.Errorf("extend the time of autostop: unexpected answer %q", remote.Clean(word))
	}
}

// hookFollows stands between conf and the hook in what armedScript prints.
const hookFollows = "-- hook"

const armedScript = "cd " + folder + " 2>/dev/null && [ -e conf ] || exit 0\ncat conf && echo '" + hookFollows + "' && { cat hook.sh 2>/dev/null || :; }"

// Armed is the autostop that the head has, whoever armed it; nil is none.
func Armed(ctx context.Context, head remote.Shell) (*Config, error) {
	out, err := remote.Output(ctx, head, remote.Command{Script: armedScript})
	if err != nil {
		return nil, fmt.Errorf("ask the head for its autostop: %w", err)
	}
	if out == "" {
		return nil, nil //nolint:nilnil // no autostop and no error
	}
	conf, hook, _ := strings.Cut(out, hookFollows+"\n")
	values := map[string]string{}
	for line := range strings.Lines(conf) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	seconds := func(name string) time.Duration {
		n, _ := strconv.Atoi(values[name]) // what is none is refused below
		return time.Duration(n) * time.Second
	}
	c := &Config{
		Idle: seconds("idle"), Down: values["action"] == string(Config{Down: true}.Shutdown()), WaitFor: WaitFor(values["wait_for"]),
		Hook: hook, HookTimeout: seconds("hook_timeout"), HookHold: seconds("hook_hold"), UnreadHold: seconds("unread_hold"),
	}
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("the head's record of its autostop: %w", err)
	}
	return c, nil
}

// idleScript prints for how many seconds the cluster has been idle, and nothing where
// that cannot be told.
const idleScript = "cd " + folder + " 2>/dev/null && [ -e conf ] && [ -e active ] || exit 0\n" +
	`then=$(date -r active +%s 2>/dev/null) || exit 0; echo "$(($(date +%s) - then))"`

// IdleFor is for how long the head's watchdog has found the cluster idle; false is that
// nobody knows: there is no autostop, or an earlier version's.
func IdleFor(ctx context.Context, head remote.Shell) (time.Duration, bool, error) {
	out, err := remote.Output(ctx, head, remote.Command{Script: idleScript})
	if err != nil {
		return 0, false, fmt.Errorf("ask the head how long it has been idle: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(out))
	return time.Duration(max(n, 0)) * time.Second, err == nil, nil
}
