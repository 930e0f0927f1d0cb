// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// maxPrice is above any machine's price in US dollars an hour.
const maxPrice = 10000

// onDemand streams a region's price list, as CSV, and keeps the price of every
// instance type on Linux without further software.
func (f fetcher) onDemand(ctx context.Context, region string) (prices map[string]float64, err error) {
	address := cmp.Or(f.o.PriceList, defaultPriceList) + "/offers/v1.0/aws/AmazonEC2/current/" + region + "/index.csv"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("price list: %w", err)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("price list: %w", err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("price list %s: %d %s", address, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	prices, err = readPrices(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("price list %s: %w", address, err)
	}
	return prices, nil
}

// readPrices reads a price list: a few lines of metadata, a header that begins
// with SKU, then one line a price.
func readPrices(r io.Reader) (map[string]float64, error) {
	in := csv.NewReader(bufio.NewReaderSize(r, 1<<20))
	in.ReuseRecord, in.FieldsPerRecord = true, -1
	columns, err := header(in)
	if err != nil {
		return nil, err
	}
	prices := map[string]float64{}
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			if len(prices) == 0 {
				return nil, errors.New("it holds no price of a machine")
			}
			return prices, nil
		}
		if err != nil {
			return nil, err
		}
		line := line{columns: columns, record: record}
		if !line.counts() {
			continue
		}
		price, err := strconv.ParseFloat(line.at("PricePerUnit"), 64)
		if err != nil || !(price >= 0) || price > maxPrice {
			row, _ := in.FieldPos(0)
			return nil, fmt.Errorf("line %d: the price is %q", row, line.at("PricePerUnit"))
		}
		name := strings.Clone(line.at("Instance Type"))
		// A second price of one type is a variant, such as a dedicated host's: the lower one is the machine's.
		if old, ok := prices[name]; price > 0 && (!ok || price < old) {
			prices[name] = price
		}
	}
}

// header skips the metadata and returns the columns by name.
func header(in *csv.Reader) (map[string]int, error) {
	const most = 20
	for range most {
		record, err := in.Read()
		if err != nil {
			return nil, fmt.Errorf("it has no header: %w", err)
		}
		if record[0] != "SKU" {
			continue
		}
		columns := map[string]int{}
		for i, name := range record {
			columns[strings.Clone(name)] = i
		}
		for _, name := range wanted() {
			if _, ok := columns[name]; !ok {
				return nil, fmt.Errorf("its header lacks the column %q", name)
			}
		}
		return columns, nil
	}
	return nil, fmt.Errorf("it has no header within %d lines", most)
}

func wanted() []string {
	return []string{
		"TermType", "Unit", "PricePerUnit", "Currency", "Instance Type", "Tenancy", "Operating System",
		"CapacityStatus", "Pre Installed S/W", "MarketOption",
	}
}

// line is one price.
type line struct {
	columns map[string]int
	record  []string
}

func (l line) at(column string) string {
	if i := l.columns[column]; i < len(l.record) {
		return l.record[i]
	}
	return ""
}

// counts reports whether the line is the hourly on-demand price of a machine
// with plain Linux, on hardware that is not dedicated to one customer.
func (l line) counts() bool {
	return l.at("TermType") == "OnDemand" && l.at("Currency") == "USD" && l.at("Unit") == "Hrs" && l.at("Tenancy") == "Shared" &&
		l.at("Operating System") == "Linux" && l.at("CapacityStatus") == "Used" && l.at("Pre Installed S/W") == "NA" &&
		(l.at("MarketOption") == "" || l.at("MarketOption") == "OnDemand") && l.at("Instance Type") != ""
}
