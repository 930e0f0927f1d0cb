// SPDX-License-Identifier: MPL-2.0

// Package gcp asks Google Cloud for its machine types, the zones that have
// them, and their prices. Google prices cores, memory and devices, and says in
// words which is which; a machine's price is their sum. It needs Application
// Default Credentials that may call compute.machineTypes.list and
// compute.acceleratorTypes.list in one project.
package gcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/api/cloudbilling/v1"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/option"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch"
)

// Options say what to ask, and where.
type Options struct {
	// Project is any project whose zones can be listed.
	Project string
	// Compute and Billing replace the addresses of the two services; empty are Google's.
	Compute, Billing string
	// Client makes the requests with credentials of its own; nil is Application
	// Default Credentials.
	Client *http.Client
	// Progress is told how many pages were read; nil tells nobody.
	Progress func(done int)
}

// counter counts pages.
type counter struct {
	done int
	tell func(done int)
}

func (c *counter) page() {
	c.done++
	if c.tell != nil {
		c.tell(c.done)
	}
}

// computeService is Compute Engine's name among the services that are billed.
const computeService = "services/6F81-5844-456A"

// Fetch returns rows in order of region, zone, type and device. A listing that
// is not whole is an error: a catalog with a hole looks like a cloud without
// offers. Types whose parts have no price are left out. A row without a type is
// devices that attach to N1 machines, whose price comes on top of theirs.
func Fetch(ctx context.Context, o Options) ([]fetch.Row, error) {
	if o.Project == "" {
		return nil, errors.New("it takes a project whose zones can be listed: set GOOGLE_CLOUD_PROJECT")
	}
	read := &counter{tell: o.Progress}
	prices, err := fetchPrices(ctx, o, read)
	if err != nil {
		return nil, fmt.Errorf("prices of Compute Engine: %w", err)
	}
	svc, err := compute.NewService(ctx, o.options(o.Compute, "/compute/v1/")...)
	if err != nil {
		return nil, fmt.Errorf("open Compute Engine: %w", err)
	}
	rows, err := fetchMachines(ctx, svc, o.Project, prices, read)
	if err != nil {
		return nil, fmt.Errorf("list machine types: %w", err)
	}
	devices, err := fetchDevices(ctx, svc, o.Project, prices, read)
	if err != nil {
		return nil, err
	}
	if rows = append(rows, devices...); len(rows) == 0 {
		return nil, errors.New("no machine type of Google's has a price")
	}
	slices.SortFunc(rows, func(a, b fetch.Row) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Type, b.Type),
			cmp.Compare(a.Accelerator, b.Accelerator), cmp.Compare(a.Count, b.Count))
	})
	return rows, nil
}

// fetchMachines are the machine types of all zones.
func fetchMachines(ctx context.Context, svc *compute.Service, project string, prices priceList, read *counter) ([]fetch.Row, error) {
	var rows []fetch.Row
	err := svc.MachineTypes.AggregatedList(project).Pages(ctx, func(page *compute.MachineTypeAggregatedList) error {
		read.page()
		for scope, list := range page.Items {
			if w := list.Warning; w != nil && w.Code == "UNREACHABLE" {
				return fmt.Errorf("%s does not answer: %s", scope, w.Message)
			}
			for _, t := range list.MachineTypes {
				if row, ok := machineRow(t, prices); ok {
					rows = append(rows, row)
				}
			}
		}
		return nil
	})
	return rows, err //nolint:wrapcheck // Fetch says what it was for
}

func (o Options) options(endpoint, path string) []option.ClientOption {
	opts := []option.ClientOption{option.WithUserAgent("terraform-provider-sky"), option.WithTelemetryDisabled()}
	if endpoint != "" {
		opts = append(opts, option.WithEndpoint(strings.TrimRight(endpoint, "/")+path))
	}
	if o.Client != nil {
		opts = append(opts, option.WithHTTPClient(o.Client))
	}
	return opts
}

func fetchPrices(ctx context.Context, o Options, read *counter) (priceList, error) {
	svc, err := cloudbilling.NewService(ctx, o.options(o.Billing, "/")...)
	if err != nil {
		return nil, err //nolint:wrapcheck // Fetch says what it was for
	}
	prices := priceList{}
	err = svc.Services.Skus.List(computeService).CurrencyCode("USD").Pages(ctx, func(page *cloudbilling.ListSkusResponse) error {
		read.page()
		for _, sku := range page.Skus {
			prices.add(sku)
		}
		return nil
	})
	if err == nil && len(prices) == 0 {
		err = errors.New("there is none that is understood")
	}
	return prices, err //nolint:wrapcheck // as above
}

// machineRow prices a type: its cores, its memory, and the devices it comes with.
func machineRow(t *compute.MachineType, prices priceList) (fetch.Row, bool) {
	if t.Deprecated != nil {
		return fetch.Row{}, false
	}
	row := fetch.Row{
		Type: t.Name, VCPUs: float64(t.GuestCpus), Memory: float64(t.MemoryMb) / 1024,
		Zone: t.Zone[strings.LastIndexByte(t.Zone, '/')+1:], Arch: arch(t.Architecture),
	}
	row.Region = regionOf(row.Zone)
	family, _, _ := strings.Cut(t.Name, "-")
	cores, memory := row.VCPUs, row.Memory
	if shared, ok := sharedCore()[t.Name]; ok {
		cores = shared // billed for a part of its cores
	}
	var device string
	for _, a := range t.Accelerators {
		d, known := devices()[a.GuestAcceleratorType]
		if !known {
			return fetch.Row{}, false
		}
		device, row.Accelerator, row.DeviceGiB = d.sku, d.name, d.gib
		row.Count += float64(a.GuestAcceleratorCount)
	}
	parts := []share{{family + " core", cores}, {family + " ram", memory}}
	if device != "" {
		parts = append(parts, share{device, row.Count})
	}
	row.Price, row.Spot = prices.sum(parts, row.Region, false), prices.sum(parts, row.Region, true)
	return row, row.Price > 0 || row.Spot > 0
}

// share is so much of something that has a price.
type share struct {
	what   string
	amount float64
}

// sum is the price of all parts; 0 where one has none.
func (p priceList) sum(parts []share, region string, spot bool) float64 {
	total := 0.0
	for _, one := range parts {
		price, ok := p[priceKey{one.what, region, spot}]
		if !ok && one.amount != 0 {
			return 0
		}
		total += price * one.amount
	}
	return total
}

// sharedCore are the types that run on a part of their cores, and are billed so.
func sharedCore() map[string]float64 {
	return map[string]float64{"e2-micro": 0.25, "e2-small": 0.5, "e2-medium": 1}
}

func arch(name string) string {
	switch name {
	case "ARM64":
		return "arm64"
	case "X86_64":
		return "x86_64"
	default:
		return ""
	}
}

func regionOf(zone string) string { return zone[:max(strings.LastIndexByte(zone, '-'), 0)] }

// fetchDevices lists the devices that attach to N1 machines, zone by zone.
func fetchDevices(ctx context.Context, svc *compute.Service, project string, prices priceList, read *counter) ([]fetch.Row, error) {
	var rows []fetch.Row
	err := svc.AcceleratorTypes.AggregatedList(project).Pages(ctx, func(page *compute.AcceleratorTypeAggregatedList) error {
		read.page()
		for scope, list := range page.Items {
			if w := list.Warning; w != nil && w.Code == "UNREACHABLE" {
				return fmt.Errorf("%s does not answer: %s", scope, w.Message)
			}
			for _, t := range list.AcceleratorTypes {
				d, known := devices()[t.Name]
				if !known || !d.attaches || t.Deprecated != nil {
					continue
				}
				zone := t.Zone[strings.LastIndexByte(t.Zone, '/')+1:]
				each, spot := prices[priceKey{d.sku, regionOf(zone), false}], prices[priceKey{d.sku, regionOf(zone), true}]
				for n := int64(1); n <= t.MaximumCardsPerInstance && each+spot > 0; n *= 2 {
					rows = append(rows, fetch.Row{
						Accelerator: d.name, Count: float64(n), DeviceGiB: d.gib, Price: each * float64(n), Spot: spot * float64(n),
						Region: regionOf(zone), Zone: zone,
					})
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list accelerator types: %w", err)
	}
	return rows, nil
}
