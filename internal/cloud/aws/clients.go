// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

const (
	// callTimeout bounds one try of one call.
	callTimeout = 60 * time.Second
	// openTimeout bounds the search for credentials, which may ask the network.
	openTimeout = 60 * time.Second
)

// parameterCall reads a parameter of SSM. See calls for why it is no client.
type parameterCall func(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)

// clients are the calls of one account, made when first asked for and shared by
// all clusters.
type clients struct {
	cfg aws.Config
	// only are the regions to work in; empty means all that are enabled.
	only []string
	// profile and role are those of the provider block, for advice.
	profile, role string

	mu      sync.Mutex
	ec2     map[string]*calls
	ssm     map[string]parameterCall
	enabled []string
}

func newClients(ctx context.Context, values map[string]string) (*clients, error) {
	key, secret := values[optionAccessKey], values[optionSecretKey]
	if (key == "") != (secret == "") {
		return nil, fleet.ConfigErrorf(cloud.ScopeCloud, "access_key_id and secret_access_key are needed together")
	}
	opts := []func(*config.LoadOptions) error{
		// The SDK's own client type: it can still take a CA bundle from the environment.
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(callTimeout)),
		config.WithRetryer(func() aws.Retryer { return newRetryer(callAttempts) }),
		config.WithAppID("terraform-provider-sky"),
		// It writes to stderr, in the midst of what a command prints; what matters comes as an error.
		config.WithLogger(logging.Nop{}),
		// Before anything else is looked up: taking a role asks STS of some region.
		config.WithDefaultRegion(defaultRegion),
	}
	if p := values[optionProfile]; p != "" {
		opts = append(opts, config.WithSharedConfigProfile(p))
	}
	if r := values[optionRegion]; r != "" {
		opts = append(opts, config.WithRegion(r))
	}
	if key != "" {
		opts = append(opts, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(key, secret, values[optionSessionToken])))
	}
	if e := values[optionEndpoint]; e != "" {
		if _, err := fleet.ParseEndpoint(optionEndpoint, e, "http://127.0.0.1:5000", "signed requests"); err != nil {
			return nil, err //nolint:wrapcheck // it names the option
		}
		opts = append(opts, config.WithBaseEndpoint(e))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, brokenConfig(err)
	}
	if role := values[optionRole]; role != "" {
		assumeRole(&cfg, role, values[optionExternalID])
	}
	return &clients{
		cfg: cfg, only: fleet.SplitList(values[optionRegions]), profile: values[optionProfile], role: values[optionRole],
		ec2: map[string]*calls{}, ssm: map[string]parameterCall{},
	}, nil
}

// account asks whose the credentials are, and as whom they act. It tells missing ones from refused ones.
func (c *clients) account(ctx context.Context) (account, identity string, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if _, err := c.cfg.Credentials.Retrieve(ctx); err != nil {
		if cerr := context.Cause(ctx); errors.Is(cerr, context.Canceled) {
			return "", "", fmt.Errorf("find AWS credentials: %w", cerr)
		}
		return "", "", c.noCredentials(err)
	}
	out, err := sts.NewFromConfig(c.cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		if classify(err).Kind == cloud.KindAuth {
			err = &fleet.AuthError{Advice: "AWS refuses the credentials; renew them or name others in the provider block", Err: err}
		}
		return "", "", fmt.Errorf("ask AWS for the account: %w", err)
	}
	if aws.ToString(out.Account) == "" {
		return "", "", errors.New("ask AWS for the account: the answer names none")
	}
	return *out.Account, aws.ToString(out.Arn), nil
}

// in returns the calls of EC2 in a region, with the region's rate limits.
func (c *clients) in(region string) *calls {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.ec2[region]
	if !ok {
		limits := newLimits()
		known = newCalls(ec2.NewFromConfig(c.cfg, func(o *ec2.Options) {
			o.Region = region
			o.APIOptions = append(o.APIOptions, limits.install)
		}))
		c.ec2[region] = known
	}
	return known
}

// parameter returns the call of SSM in a region.
func (c *clients) parameter(region string) parameterCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	get, ok := c.ssm[region]
	if !ok {
		get = ssm.NewFromConfig(c.cfg, func(o *ssm.Options) { o.Region = region }).GetParameter
		c.ssm[region] = get
	}
	return get
}

// regions are the regions to work in, sorted. What is enabled for the account
// is asked once.
func (c *clients) regions(ctx context.Context) ([]string, error) {
	c.mu.Lock()
	known := c.enabled
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	out, err := c.in(c.cfg.Region).DescribeRegions(ctx, &ec2.DescribeRegionsInput{})
	if err != nil {
		return nil, fmt.Errorf("list regions: %w", err)
	}
	var names []string
	for _, r := range out.Regions {
		if name := aws.ToString(r.RegionName); name != "" && (len(c.only) == 0 || slices.Contains(c.only, name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return nil, fleet.ConfigErrorf(cloud.ScopeCloud, "no region to work in: regions = %q, none of which is enabled for the account", strings.Join(c.only, ","))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.enabled = names
	return names, nil
}

// checkRegion refuses a region that is not enabled, before its name becomes
// part of an endpoint's.
func (c *clients) checkRegion(ctx context.Context, region string) error {
	all, err := c.regions(ctx)
	if err != nil || slices.Contains(all, region) {
		return err
	}
	return fleet.ConfigErrorf(cloud.ScopeRegion, "region %q is not enabled for this account, or is not among the provider's regions; there are %s",
		region, strings.Join(all, ", "))
}
