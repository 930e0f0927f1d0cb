// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// assumeRole makes the configuration act as a role, with the credentials it has.
func assumeRole(cfg *aws.Config, role, externalID string) {
	provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(*cfg), role, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = "terraform-provider-sky"
		if externalID != "" {
			o.ExternalID = aws.String(externalID)
		}
	})
	cfg.Credentials = aws.NewCredentialsCache(provider)
}

// brokenConfig says what is wrong with the shared files.
func brokenConfig(err error) error {
	advice := "the AWS configuration cannot be used; check the profile and the shared files in ~/.aws"
	if absent := (config.SharedConfigProfileNotExistError{}); errors.As(err, &absent) {
		advice = fmt.Sprintf("there is no AWS profile %q; \"aws configure list-profiles\" shows those there are", absent.Profile)
	}
	return &fleet.AuthError{Advice: advice, Err: err}
}

// noCredentials says why none could be had and what would help: a login that is
// over, a role that cannot be taken, a network that is down, or nothing found.
func (c *clients) noCredentials(err error) error {
	var (
		op      *smithy.OperationError
		api     smithy.APIError
		expired *ssocreds.InvalidTokenError
		answer  = errors.As(err, &api)
		asked   = ""
	)
	if errors.As(err, &op) {
		asked = op.OperationName
	}
	login := "aws sso login"
	if c.profile != "" {
		login += " --profile " + c.profile
	}
	switch {
	// The SDK has no type for a token of an SSO session that is absent or over.
	case errors.As(err, &expired), strings.Contains(err.Error(), "cached SSO token"), answer && asked == "CreateToken", answer && api.ErrorCode() == "UnauthorizedException":
		return &fleet.AuthError{Advice: fmt.Sprintf("the SSO login is over, or was never made: run \"%s\"", login), Err: err}
	case answer && asked == "GetRoleCredentials":
		return &fleet.AuthError{Advice: "SSO gives this user no credentials for the profile's account and role; check sso_account_id and sso_role_name", Err: err}
	case answer && slices.Contains([]string{"AssumeRole", "AssumeRoleWithWebIdentity"}, asked):
		return &fleet.AuthError{Advice: fmt.Sprintf("%s cannot be assumed: its trust policy must name who asks, who asks must be allowed sts:AssumeRole on it, and an "+
			"external id must be the one it wants", cmp.Or(c.role, "the profile's role")), Err: err}
	case op != nil && op.ServiceID != "ec2imds" && fleet.IsUnreachable(err):
		return fmt.Errorf("ask AWS for credentials: %w", err)
	}
	return &fleet.AuthError{
		Advice: "no AWS credentials: run \"aws configure\" or \"aws sso login\", set AWS_PROFILE or AWS_ACCESS_KEY_ID and " +
			"AWS_SECRET_ACCESS_KEY, or name a profile or keys in the provider block",
		Err: err,
	}
}
