// SPDX-License-Identifier: MPL-2.0

// Package aws asks AWS for its instance types, the zones that have them, and
// their prices: the public price list for on-demand, the spot price history for
// spot. It needs credentials that may call ec2:Describe*, found by the SDK's
// default chain.
package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go/logging"
	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch"
)

// Options say what to ask, and where. The zero value asks AWS for everything.
type Options struct {
	// Regions to ask about; empty means all that are enabled for the account.
	Regions []string
	// Endpoint replaces the addresses of EC2, and PriceList that of the price
	// list; empty are AWS's own.
	Endpoint, PriceList string
	// Client downloads the price list; nil is one without a deadline of its own,
	// since a region's list has hundreds of megabytes.
	Client *http.Client
	// Now is the moment of the spot prices; nil is the present.
	Now func() time.Time
	// Progress is told how many regions of how many are done, one call at a time;
	// nil tells nobody.
	Progress func(done, total int)
}

const (
	defaultRegion    = "us-east-1"
	defaultPriceList = "https://pricing.us-east-1.amazonaws.com"
	// parallel is how many regions are asked at once.
	parallel = 4
	maxPages = 10000
)

// Fetch asks for all regions and returns rows in order of region, type and
// zone. Zones are AWS's ids, which mean the same for every account. A region
// that cannot be read is an error: a catalog with a hole looks like a cloud
// without offers.
func Fetch(ctx context.Context, o Options) ([]fetch.Row, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithAppID("terraform-provider-sky"), config.WithLogger(logging.Nop{}))
	if err != nil {
		return nil, fmt.Errorf("the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		cfg.Region = defaultRegion
	}
	f := fetcher{cfg: cfg, o: o, client: o.Client, now: o.Now}
	if f.client == nil {
		f.client = &http.Client{}
	}
	if f.now == nil {
		f.now = time.Now
	}
	regions, err := f.regions(ctx)
	if err != nil {
		return nil, err
	}
	all, err := f.all(ctx, regions)
	if err == nil && len(all) == 0 {
		err = errors.New("AWS names no instance type with a price")
	}
	return all, err
}

// all asks about the regions, several at once.
func (f fetcher) all(ctx context.Context, regions []string) ([]fetch.Row, error) {
	tell := f.o.Progress
	if tell == nil {
		tell = func(int, int) {}
	}
	tell(0, len(regions))
	rows := make([][]fetch.Row, len(regions))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	var mu sync.Mutex
	finished := 0
	for i, region := range regions {
		group.Go(func() error {
			var err error
			if rows[i], err = f.region(ctx, region); err != nil {
				return fmt.Errorf("region %s: %w", region, err)
			}
			mu.Lock()
			defer mu.Unlock()
			finished++
			tell(finished, len(regions))
			return nil
		})
	}
	err := group.Wait()
	return slices.Concat(rows...), err
}

type fetcher struct {
	cfg    aws.Config
	o      Options
	client *http.Client
	now    func() time.Time
}

func (f fetcher) ec2(region string) *ec2.Client {
	return ec2.NewFromConfig(f.cfg, func(o *ec2.Options) {
		o.Region = region
		if f.o.Endpoint != "" {
			o.BaseEndpoint = aws.String(f.o.Endpoint)
		}
	})
}

func (f fetcher) regions(ctx context.Context) ([]string, error) {
	out, err := f.ec2(f.cfg.Region).DescribeRegions(ctx, &ec2.DescribeRegionsInput{})
	if err != nil {
		return nil, fmt.Errorf("list regions: %w", err)
	}
	var names []string
	for _, r := range out.Regions {
		if name := aws.ToString(r.RegionName); len(f.o.Regions) == 0 || slices.Contains(f.o.Regions, name) {
			names = append(names, name)
		}
	}
	for _, want := range f.o.Regions {
		if !slices.Contains(names, want) {
			return nil, fmt.Errorf("region %q is not enabled for this account", want)
		}
	}
	slices.Sort(names)
	return names, nil
}

// region puts together what AWS says of one region.
func (f fetcher) region(ctx context.Context, region string) ([]fetch.Row, error) {
	client := f.ec2(region)
	kinds, err := instanceTypes(ctx, client)
	if err != nil {
		return nil, err
	}
	zones, err := offerings(ctx, client)
	if err != nil {
		return nil, err
	}
	spot, err := f.spotPrices(ctx, client)
	if err != nil {
		return nil, err
	}
	prices, err := f.onDemand(ctx, region)
	if err != nil {
		return nil, err
	}
	var rows []fetch.Row
	for _, k := range kinds {
		for _, zone := range zones[k.Type] {
			row := k
			row.Region, row.Zone = region, zone
			row.Price, row.Spot = prices[k.Type], spot[place{k.Type, zone}]
			if row.Price > 0 || row.Spot > 0 {
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}

// place is a type in a zone, by the zone's id.
type place struct{ instanceType, zone string }

// pages reads a listing to its end; a token that comes twice is an error.
func pages(what string, page func(token *string) (*string, error)) error {
	var token *string
	seen := map[string]bool{}
	for range maxPages {
		next, err := page(token)
		switch {
		case err != nil:
			return fmt.Errorf("list %s: %w", what, err)
		case aws.ToString(next) == "":
			return nil
		case seen[*next]:
			return fmt.Errorf("list %s: the page token %q came twice", what, *next)
		}
		seen[*next] = true
		token = next
	}
	return fmt.Errorf("list %s: more than %d pages", what, maxPages)
}

func instanceTypes(ctx context.Context, client *ec2.Client) ([]fetch.Row, error) {
	var all []fetch.Row
	err := pages("instance types", func(token *string) (*string, error) {
		out, err := client.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{NextToken: token})
		if err != nil {
			return nil, err
		}
		for _, t := range out.InstanceTypes {
			all = append(all, describe(t))
		}
		return out.NextToken, nil
	})
	slices.SortFunc(all, func(a, b fetch.Row) int { return strings.Compare(a.Type, b.Type) })
	return all, err
}

// offerings are the ids of the zones that have a type, sorted.
func offerings(ctx context.Context, client *ec2.Client) (map[string][]string, error) {
	zones := map[string][]string{}
	err := pages("instance type offerings", func(token *string) (*string, error) {
		out, err := client.DescribeInstanceTypeOfferings(ctx, &ec2.DescribeInstanceTypeOfferingsInput{
			LocationType: types.LocationTypeAvailabilityZoneId, NextToken: token,
		})
		if err != nil {
			return nil, err
		}
		for _, o := range out.InstanceTypeOfferings {
			name := string(o.InstanceType)
			zones[name] = append(zones[name], aws.ToString(o.Location))
		}
		return out.NextToken, nil
	})
	for _, z := range zones {
		slices.Sort(z)
	}
	return zones, err
}

// spotPrices are those of this moment. AWS lists them by the account's names of
// zones, which are turned into ids.
func (f fetcher) spotPrices(ctx context.Context, client *ec2.Client) (map[place]float64, error) {
	named, err := client.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{})
	if err != nil {
		return nil, fmt.Errorf("list zones: %w", err)
	}
	ids := map[string]string{}
	for _, z := range named.AvailabilityZones {
		ids[aws.ToString(z.ZoneName)] = aws.ToString(z.ZoneId)
	}
	type dated struct {
		price float64
		at    time.Time
	}
	latest := map[place]dated{}
	now := f.now()
	err = pages("spot prices", func(token *string) (*string, error) {
		out, err := client.DescribeSpotPriceHistory(ctx, &ec2.DescribeSpotPriceHistoryInput{
			ProductDescriptions: []string{"Linux/UNIX"}, StartTime: aws.Time(now), EndTime: aws.Time(now), NextToken: token,
		})
		if err != nil {
			return nil, err
		}
		for _, s := range out.SpotPriceHistory {
			price, err := strconv.ParseFloat(aws.ToString(s.SpotPrice), 64)
			id, known := ids[aws.ToString(s.AvailabilityZone)]
			if err != nil || !known || !(price > 0) || price > maxPrice {
				continue // a price nobody can read is no price
			}
			at := place{string(s.InstanceType), id}
			if old, ok := latest[at]; !ok || aws.ToTime(s.Timestamp).After(old.at) {
				latest[at] = dated{price, aws.ToTime(s.Timestamp)}
			}
		}
		return out.NextToken, nil
	})
	prices := make(map[place]float64, len(latest))
	for at, d := range latest {
		prices[at] = d.price
	}
	return prices, err
}
