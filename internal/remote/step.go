// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/script"
)

//go:embed step.sh
var stepScript string

//go:embed keep.sh
var keepScript string

// NodeScripts are our scripts as a node gets them, by name.
func NodeScripts() map[string]string {
	return map[string]string{
		"step.sh":       script.OnNode(stepScript),
		"keep.sh":       script.OnNode(keepScript),
		"put.sh":        putScript,
		"get.sh":        getScript,
		"tree.sh":       treeScript,
		"touched.sh":    touchedScript,
		"clusterkey.sh": clusterKeyScript,
	}
}

const (
	// stepRestarts is how often a step is started anew after its machine was
	// restarted, by the script itself perhaps. The script finds the number of the
	// present one, from 0 on, in SKY_SETUP_RESTARTS.
	stepRestarts = 3
	// stepEnd bounds ending a step that nobody waits for any more.
	stepEnd = 12 * time.Second
)

// Step is a script that runs on one node once, whatever becomes of the
// connection: it is detached from it, and its output and its end are on record on
// the node. A Step is used up by one run, by any number of calls of RunStep.
type Step struct {
	// Command has no Stdin. Its Stdout gets both outputs, in order, each byte once.
	Command
	id   string
	read int64
	// looks counts the answers of the node.
	looks int
}

// NewStep returns a step that has not begun.
func NewStep(cmd Command) *Step { return &Step{Command: cmd, id: nonce()} }

// Looks is how often the node has answered a question for the step; it tells a
// step that goes on from one whose connections fail at once.
func (s *Step) Looks() int { return s.looks }

// Watch returns the text of a shell script that is to run as part of the step so
// that it notes its own end. That counts where nobody is left who waits for it:
// a script may kill its parent. Line numbers stay. Another interpreter's is
// returned as it is.
func (s *Step) Watch(text string) string {
	if strings.HasPrefix(text, "#!") {
		return text
	}
	return fmt.Sprintf("trap '{ echo \"$?\" >\"$HOME/.sky/steps/%s/code\"; } 2>/dev/null' EXIT; %s", s.id, text)
}

// StepError says that a step has ended in a way that no exit code tells.
type StepError struct{ Why string }

func (e *StepError) Error() string { return e.Why }

// RunStep begins the step on the node, or goes on with it, and follows it to its
// end, whose exit code it returns. After a *LinkError the step goes on, and so
// does another call, on another connection. A *StepError is final. When ctx ends,
// the step is ended, as far as the node can be reached.
func (c *Client) RunStep(ctx context.Context, s *Step) (exitCode int, err error) {
	code, err := c.runStep(ctx, s)
	if ctx.Err() != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepEnd)
		defer cancel()
		_, _ = c.Output(last, s.ask("end"))
		return -1, context.Cause(ctx)
	}
	return code, err
}

func (c *Client) runStep(ctx context.Context, s *Step) (int, error) {
	if err := c.beginStep(ctx, s); err != nil {
		return -1, err
	}
	for {
		seen, err := c.lookAtStep(ctx, s)
		if err != nil {
			return -1, err
		}
		switch {
		case seen.state == "rebooted", seen.state == "absent":
			if err := c.beginStep(ctx, s); err != nil {
				return -1, err
			}
		case seen.state == "running" || s.read < seen.size:
		case seen.state == "ended":
			_, _ = c.Output(ctx, s.ask("forget")) // what stays is small, and goes with the next step
			return seen.end()
		default:
			return -1, &StepError{"it was killed, with the process that watched over it, and left no record of how it ended"}
		}
	}
}

// beginStep may be repeated: the step begins once.
func (c *Client) beginStep(ctx context.Context, s *Step) error {
	text, err := s.script()
	if err != nil {
		return err
	}
	n := nonce()
	text += "\n# " + n + "\n"
	_, err = Output(ctx, c, Command{Script: "nonce=" + n + " keep=" + script.Quote(script.OnNode(keepScript)) + "\n" + s.ask("begin"), Stdin: strings.NewReader(text)})
	if err != nil {
		return fmt.Errorf("starting the script: %w", err)
	}
	return nil
}

func (s *Step) ask(verb string) string {
	return fmt.Sprintf("verb=%s id=%s from=%d most=%d\n%s", verb, s.id, s.read, stepRestarts, script.OnNode(stepScript))
}

// stepLook is what the node says of a step.
type stepLook struct {
	state, code string
	size        int64
}

func (l stepLook) end() (int, error) {
	if l.code == "restarts" {
		return -1, &StepError{fmt.Sprintf("its machine was restarted %d times while it ran, and it never came to its end. "+
			"After a restart the script is started anew, from its beginning; SKY_SETUP_RESTARTS, which is 0 at first, tells it so", stepRestarts+1)}
	}
	code, err := strconv.Atoi(l.code)
	if err != nil {
		return -1, &StepError{fmt.Sprintf("its record of the end reads %q", Clean(l.code))}
	}
	return code, nil
}

// lookAtStep asks for the state of the step and passes on what it printed since.
func (c *Client) lookAtStep(ctx context.Context, s *Step) (stepLook, error) {
	var out bytes.Buffer
	said := &tail{max: 4096}
	code, err := c.Run(ctx, Command{Script: s.ask("look"), Stdout: &out, Stderr: said})
	if err != nil {
		return stepLook{}, fmt.Errorf("looking at the script: %w", err)
	}
	header, text, ok := strings.Cut(out.String(), "\n")
	words := strings.Fields(header)
	if code != 0 || !ok || len(words) != 4 {
		return stepLook{}, link(ctx, fmt.Errorf("looking at the script: exit code %d, %q, %s", code, Clean(header), Clean(said.String())), true)
	}
	size, err := strconv.ParseInt(words[2], 10, 64)
	if err != nil {
		return stepLook{}, fmt.Errorf("looking at the script: unexpected answer %q", Clean(header))
	}
	s.looks++
	if s.Stdout != nil && text != "" {
		if _, err := io.WriteString(s.Stdout, text); err != nil {
			return stepLook{}, &outputError{err}
		}
	}
	s.read += int64(len(text))
	return stepLook{state: words[0], code: words[1], size: size}, nil
}
