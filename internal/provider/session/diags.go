// SPDX-License-Identifier: MPL-2.0

package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/catalog"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// ErrorDiag turns an error of any room into what the user reads. doing names
// what was tried, such as `Launch of cluster "train"`.
func ErrorDiag(ctx context.Context, doing string, err error) diag.Diagnostic {
	return diag.NewErrorDiagnostic(doing+" "+outcome(ctx, err), kit.KeepLines(kit.Sentence(detail(ctx, err))))
}

// logKeeper is a broker that says where the log of a cluster is.
type logKeeper interface{ LogPath(name string) string }

// ClusterDiag is errorDiag for what was done to a cluster that has a
// log: the text names it.
func ClusterDiag(ctx context.Context, d *Session, name, doing string, err error) diag.Diagnostic {
	if b, ok := OpenedBroker[logKeeper](d); ok {
		path := b.LogPath(name)
		if _, serr := os.Stat(path); serr == nil && !strings.Contains(err.Error(), path) {
			err = &withLog{err: err, path: path}
		}
	}
	return ErrorDiag(ctx, doing, err)
}

// withLog is an error whose text names the log.
type withLog struct {
	err  error
	path string
}

func (e *withLog) Error() string {
	return kit.Sentence(e.err.Error()) + "\n\nThe whole log is in " + e.path
}
func (e *withLog) Unwrap() error { return e.err }

// outcome is the second half of the summary.
func outcome(ctx context.Context, err error) string {
	var (
		launch     *broker.LaunchError
		setup      *nodes.SetupError
		infeasible *optimizer.InfeasibleError
		imported   *broker.ImportError
	)
	switch {
	case errors.As(err, &launch) && len(launch.Survivors) > 0:
		return "failed and left machines behind"
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), ErrParentGone), errors.Is(err, context.Canceled):
		return "was interrupted"
	case ctx.Err() != nil:
		return "ran out of time"
	case errors.As(err, &infeasible):
		return "is not possible: nothing fits the request"
	case errors.As(err, &setup):
		return "failed in setup"
	case errors.As(err, &imported):
		return "was refused: the name is taken"
	case errors.Is(err, catalog.ErrNoCatalog):
		return "needs a catalog"
	default:
		return "failed" + faultNote(err)
	}
}

func faultNote(err error) string {
	var fault *cloud.Error
	if errors.As(err, &fault) {
		return fmt.Sprintf(": %s trouble", fault.Fault.Kind)
	}
	return ""
}

// detail is the error's own text, with the cause of an ended context where
// the error does not say it.
func detail(ctx context.Context, err error) string {
	text := err.Error()
	cause := context.Cause(ctx)
	if ctx.Err() != nil && cause != nil && !errors.Is(err, cause) && !errors.Is(cause, context.Canceled) {
		text += "\n\n" + kit.Sentence(cause.Error())
	}
	return text
}
