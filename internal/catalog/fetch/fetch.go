// SPDX-License-Identifier: MPL-2.0

// Package fetch asks clouds for their present prices and writes them in the
// form of a catalog. It needs the user's own access to the cloud where the
// cloud asks for one.
package fetch

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strconv"
	"strings"
)

// Row is one machine in one place; a price of 0 is left blank, not offered.
type Row struct {
	Type          string
	VCPUs, Memory float64
	Accelerator   string
	Count         float64
	DeviceGiB     float64
	Price, Spot   float64
	Region, Zone  string
	Arch          string
}

// Options are what fetchers need from outside.
type Options struct {
	// Getenv finds credentials.
	Getenv func(string) string
	// Client makes the requests.
	Client *http.Client
	// Endpoint replaces the cloud's own address; empty is that.
	Endpoint string
	// Regions are the only ones to ask about, on clouds that are asked region by
	// region; empty is all.
	Regions []string
	// Progress is told how many steps of how many are done, what they are counted
	// in, and is called from one goroutine at a time; nil tells nobody.
	Progress func(done, total int, unit string)
}

// Tell tells Progress, where there is one.
func (o Options) Tell(done, total int, unit string) {
	if o.Progress != nil {
		o.Progress(done, total, unit)
	}
}

// Fetcher asks one cloud.
type Fetcher struct {
	Cloud string
	// Needs says what access it takes, for people.
	Needs string
	Fetch func(ctx context.Context, o Options) ([]Row, error)
}

// Small returns the clouds that can be asked without a library of theirs, by
// name; package all has the others, too.
func Small() map[string]Fetcher { return ByName(lambdaFetcher(), runpodFetcher()) }

// ByName are fetchers by the names of their clouds.
func ByName(fetchers ...Fetcher) map[string]Fetcher {
	out := map[string]Fetcher{}
	for _, f := range fetchers {
		out[f.Cloud] = f
	}
	return out
}

// CSV writes rows as a vms.csv, in an order that does not change from run to run.
func CSV(rows []Row) ([]byte, error) {
	lines := make([][]string, 0, len(rows))
	for _, r := range rows {
		info := ""
		if r.Accelerator != "" && r.DeviceGiB > 0 {
			info = fmt.Sprintf("{'Gpus': [{'Name': '%s', 'Count': %v, 'MemoryInfo': {'SizeInMiB': %d}}], 'TotalGpuMemoryInMiB': %d}",
				r.Accelerator, r.Count, int(r.DeviceGiB*1024), int(r.DeviceGiB*1024*r.Count))
		}
		lines = append(lines, []string{r.Type, r.Accelerator, amount(r.Count), amount(r.VCPUs), amount(r.Memory), info,
			amount(r.Price), amount(r.Spot), r.Region, r.Zone, r.Arch})
	}
	sort.Slice(lines, func(i, j int) bool { return strings.Join(lines[i], "\x00") < strings.Join(lines[j], "\x00") })
	var b bytes.Buffer
	head := []string{"InstanceType", "AcceleratorName", "AcceleratorCount", "vCPUs", "MemoryGiB", "GpuInfo",
		"Price", "SpotPrice", "Region", "AvailabilityZone", "Arch"}
	if err := csv.NewWriter(&b).WriteAll(append([][]string{head}, lines...)); err != nil {
		return nil, fmt.Errorf("writing the catalog: %w", err)
	}
	return b.Bytes(), nil
}

func amount(v float64) string {
	if v <= 0 {
		return ""
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// maxAnswer bounds what a cloud may answer.
const maxAnswer = 32 << 20

// ask sends a request and decodes the answer. The error never holds the request's
// headers, where the key is.
func ask(o Options, req *http.Request, into any) (err error) {
	where := req.URL.Host + req.URL.Path
	resp, err := o.Client.Do(req)
	if err != nil {
		return fmt.Errorf("asking %s: %w", where, err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("asking %s: %w", where, err)
	case len(body) > maxAnswer:
		return fmt.Errorf("asking %s: the answer has more than %d bytes", where, maxAnswer)
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("asking %s: %d %s; check the API key", where, resp.StatusCode, http.StatusText(resp.StatusCode))
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("asking %s: %d %s", where, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", where, err)
	}
	return nil
}

// key returns a credential or says how to give it.
func (o Options) key(name string) (string, error) {
	if v := o.Getenv(name); v != "" {
		return v, nil
	}
	return "", fmt.Errorf("set %s to an API key of yours", name)
}
