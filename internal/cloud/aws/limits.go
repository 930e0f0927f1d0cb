// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go/middleware"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// limits follow what EC2 grants an account in a region. It counts each operation
// by itself, in a bucket whose size is the account's own; what stands below is what the
// documentation says of how fast it fills up again. Calls are made at once until EC2
// says that a bucket is empty. From then on, and for a while, calls of that operation
// keep its pace: all clusters of an apply wait for one another instead of being refused.
type limits struct {
	mu    sync.Mutex
	paces map[string]*limit
}

type limit struct {
	pace  *fleet.Pace
	until time.Time
}

// throttledFor is how long an operation keeps its pace after a refusal.
const throttledFor = time.Minute

// refill is how long a bucket takes for one call more.
func refill(operation string) time.Duration {
	switch {
	case operation == "RunInstances" || operation == "StartInstances":
		return 500 * time.Millisecond
	case strings.HasPrefix(operation, "Describe") || strings.HasPrefix(operation, "Get"):
		return 50 * time.Millisecond
	default:
		return 200 * time.Millisecond
	}
}

// wait lets a call of an operation pass at its pace, where it has one at present.
func (l *limits) wait(ctx context.Context, operation string) error {
	l.mu.Lock()
	var pace *fleet.Pace
	if at := l.paces[operation]; at != nil && time.Now().Before(at.until) {
		pace = at.pace
	}
	l.mu.Unlock()
	return pace.Wait(ctx) //nolint:wrapcheck // it is the context's
}

// throttled takes note that EC2 refused a call for being one too many.
func (l *limits) throttled(operation string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paces == nil {
		l.paces = map[string]*limit{}
	}
	if l.paces[operation] == nil {
		l.paces[operation] = &limit{pace: &fleet.Pace{Every: refill(operation)}}
	}
	l.paces[operation].until = time.Now().Add(throttledFor)
}

// install puts the limits behind the retryer, so that repeated tries count.
func (l *limits) install(stack *middleware.Stack) error {
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("SkyLimits",
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			operation := awsmiddleware.GetOperationName(ctx)
			if err := l.wait(ctx, operation); err != nil {
				return middleware.FinalizeOutput{}, middleware.Metadata{}, err
			}
			out, meta, err := next.HandleFinalize(ctx, in)
			if isThrottled(err) {
				l.throttled(operation)
			}
			return out, meta, err
		}), "Retry", middleware.After)
}

// isThrottled reports that a call was refused for being one too many.
func isThrottled(err error) bool {
	return retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}.IsErrorThrottle(err) == aws.TrueTernary
}
