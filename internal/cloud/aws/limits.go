// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"strings"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// limits keep a region's calls below what EC2 grants an account by default,
// so that many clusters in one apply wait for each other instead of being
// throttled. EC2 counts launches, other changes and looks apart.
type limits struct {
	launch, change, look *fleet.Pace
}

func newLimits() *limits {
	return &limits{
		launch: &fleet.Pace{Every: 500 * time.Millisecond, Burst: 5},
		change: &fleet.Pace{Every: 200 * time.Millisecond, Burst: 50},
		look:   &fleet.Pace{Every: 50 * time.Millisecond, Burst: 100},
	}
}

func (l *limits) of(operation string) *fleet.Pace {
	switch {
	case operation == "RunInstances" || operation == "StartInstances":
		return l.launch
	case strings.HasPrefix(operation, "Describe") || strings.HasPrefix(operation, "Get"):
		return l.look
	default:
		return l.change
	}
}

// install puts the limits behind the retryer, so that repeated tries count.
func (l *limits) install(stack *middleware.Stack) error {
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("SkyLimits",
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			if err := l.of(awsmiddleware.GetOperationName(ctx)).Wait(ctx); err != nil {
				return middleware.FinalizeOutput{}, middleware.Metadata{}, err
			}
			return next.HandleFinalize(ctx, in)
		}), "Retry", middleware.After)
}
