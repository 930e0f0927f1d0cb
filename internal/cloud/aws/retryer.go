// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

const (
	// callAttempts and launchAttempts bound the tries of one call. A launch has
	// more: giving up on one that is merely throttled costs a whole attempt.
	callAttempts   = 6
	launchAttempts = 10
	maxBackoff     = 10 * time.Second
)

// newRetryer repeats what failed in passing, throttling above all, and never
// what was refused: AWS reports a lack of capacity as HTTP 500, which the
// SDK's own retryer takes for a passing trouble.
func newRetryer(attempts int) aws.RetryerV2 {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.MaxBackoff = maxBackoff
		// The bounds are attempts and context; limits spread the load.
		o.RateLimiter = ratelimit.None
		o.Retryables = append([]retry.IsErrorRetryable{
			retry.NoRetryCanceledError{},
			retry.IsErrorRetryableFunc(retryable),
		}, o.Retryables...)
	})
}

// retryable reads the error table: only what is transient is repeated. Codes
// that the table does not know are left to the SDK's rules.
func retryable(err error) aws.Ternary {
	row, ok := table().Row(err)
	switch {
	case !ok || row.Code == "":
		return aws.UnknownTernary
	case row.Fault.Kind == cloud.KindTransient && !row.Wait:
		return aws.TrueTernary
	default:
		return aws.FalseTernary
	}
}

// launching is how RunInstances and StartInstances are called.
func launching(o *ec2.Options) { o.Retryer = newRetryer(launchAttempts) }
