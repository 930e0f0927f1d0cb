// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/about"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/snapshot"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/vms"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

const v5Header = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone\n"

func TestEmbeddedFluffyCloud(t *testing.T) {
	set, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	reqs := []cloud.Requirement{{Accelerators: []cloud.Accelerator{{Name: "a100", Count: 1}}}}
	offers, sources, err := set.Offers(ctx, reqs, []string{"fluffycloud"})
	if err != nil || len(offers) == 0 {
		t.Fatalf("Offers = %v, %v", offers, err)
	}
	for _, o := range offers {
		if o.InstanceType.Accelerator.Name != "A100" || o.InstanceType.AcceleratorMemoryGiB != 40 || o.Market != cloud.OnDemand {
			t.Errorf("offer %+v", o)
		}
	}
	if s := sources[0]; s.Kind != KindEmbedded || len(s.SHA256) != 64 {
		t.Errorf("source %+v", s)
	}
	for tag, want := range map[string]string{"skypilot:gpu-ubuntu-2404": "img-nimbus-2404", "img-x": "img-x"} {
		if got, err := set.Image(ctx, "fluffycloud", tag, "meadow-1", "x86_64"); err != nil || got != want {
			t.Errorf("Image(%q) = %q, %v", tag, got, err)
		}
	}
	if _, err := set.Image(ctx, "fluffycloud", "skypilot:nope", "meadow-1", ""); err == nil || !strings.Contains(err.Error(), "skypilot:cpu-ubuntu-2404") {
		t.Errorf("an unknown tag gave %v", err)
	}
}

func TestPathWins(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "fluffycloud", "vms.csv"), v5Header+"mine,,,4,16,,0.5,,here,\n")
	set, err := Open(Options{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	offers, sources, err := set.Offers(context.Background(), nil, []string{"fluffycloud"})
	if err != nil || len(offers) != 1 || offers[0].InstanceType.Name != "mine" || sources[0].Kind != KindPath {
		t.Errorf("Offers = %+v, %+v, %v", offers, sources, err)
	}
}

// A request that names its cloud reads no other catalog, unless nothing fits and
// it is to be said why.
func TestOnlyNamedCatalogsAreRead(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "aws", "vms.csv"), v5Header+"m.x,,,4,16,,0.5,,r1,z1\n")
	write(t, filepath.Join(dir, "gcp", "vms.csv"), "not a catalog\n")
	set, err := Open(Options{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	clouds := []string{"aws", "gcp"}
	offers, sources, err := set.Offers(t.Context(), []cloud.Requirement{{Cloud: "aws"}}, clouds)
	if err != nil || len(offers) != 1 || len(sources) != 1 || sources[0].Cloud != "aws" {
		t.Errorf("%v from %v, %v", offers, sources, err)
	}
	for _, r := range []cloud.Requirement{{}, {Cloud: "aws", InstanceType: "none"}} {
		if _, _, err := set.Offers(t.Context(), []cloud.Requirement{r}, clouds); err == nil {
			t.Errorf("%+v did not read the catalog of gcp", r)
		}
	}
}

func TestBadFilesAreRejectedWhole(t *testing.T) {
	good := "m.x,,,4,16,,0.5,0.2,r1,z1\n"
	cases := map[string]struct {
		text, column, part string
		row                int
	}{
		"html":              {"<!DOCTYPE html><html>", "", "HTML", 1},
		"empty":             {"", "", "empty", 0},
		"header only":       {v5Header, "", "no rows", 0},
		"truncated row":     {v5Header + good + "m.y,,,4,16\n", "", "5 fields", 3},
		"truncated value":   {v5Header + good + "m.y,,,4,16,,0.5,0.2,r1,z", "", "newline", 3},
		"missing header":    {strings.Replace(v5Header, "Price,Sp", "Prise,Sp", 1) + good, "Price", "lacks", 1},
		"duplicate header":  {strings.Replace(v5Header, "SpotPrice", "Price", 1) + good, "Price", "twice", 1},
		"NaN":               {v5Header + "m.x,,,4,16,,NaN,0.2,r1,z1\n", "Price", "finite", 2},
		"negative":          {v5Header + "m.x,,,4,16,,-1,0.2,r1,z1\n", "Price", "negative", 2},
		"infinite":          {v5Header + "m.x,,,4,16,,1,inf,r1,z1\n", "SpotPrice", "finite", 2},
		"decimal comma":     {v5Header + "m.x,,,4,16,,\"1,5\",,r1,z1\n", "Price", "decimal point", 2},
		"contradiction":     {v5Header + good + "m.x,,,4,16,,0.6,0.2,r1,z1\n", "Price", "row 2", 3},
		"NUL":               {v5Header + "m.x\x00,,,4,16,,1,,r1,z1\n", "", "NUL", 2},
		"unquoted GpuInfo":  {v5Header + "m.x,A100,1,4,16,{'Name': 'A100', 'Count': 1, 'M': 1},1,,r1,z1\n", "", "not quoted", 2},
		"invalid UTF-8":     {v5Header + "m.\xff,,,4,16,,1,,r1,z1\n", "", "UTF-8", 2},
		"no region":         {v5Header + "m.x,,,4,16,,1,,,z1\n", "Region", "blank", 2},
		"no count":          {v5Header + "m.x,A100,,4,16,,1,,r1,z1\n", "AcceleratorCount", "A100", 2},
		"no type":           {v5Header + ",A100,1,4,16,,1,,r1,z1\n", "InstanceType", "blank", 2},
		"quote in a field":  {v5Header + "m\"x,,,4,16,,1,,r1,z1\n", "", "quote", 2},
		"open quote":        {v5Header + "\"m.x,,,4,16,,1,,r1,z1\n", "", "quoted", 2},
		"beyond reason":     {v5Header + "m.x,,,4,16,,1e9,,r1,z1\n", "Price", "beyond", 2},
		"after many lines":  {v5Header + "\n\r\n" + good + "m.y,,,x,16,,1,,r1,z1\n", "vCPUs", "finite", 5},
		"unknown processor": {strings.TrimSpace(v5Header) + ",Arch\n" + "m.x,,,4,16,,1,,r1,z1,mips\n", "Arch", "mips", 2},
	}
	for name, c := range cases {
		rows, _, err := vms.Parse("x/vms.csv", "aws", []byte(c.text))
		var fe *vms.FileError
		if !errors.As(err, &fe) {
			t.Errorf("%s: %v, %v", name, rows, err)
			continue
		}
		if fe.Row != c.row || fe.Column != c.column || !strings.Contains(fe.Problem, c.part) {
			t.Errorf("%s: row %d, column %q: %s; want row %d, column %q, %q", name, fe.Row, fe.Column, fe.Problem, c.row, c.column, c.part)
		}
	}
}

func TestReaderTraps(t *testing.T) {
	text := "\xef\xbb\xbfRegion,Price,GPUInfo,vCPUs,MemoryGiB,InstanceType,AcceleratorCount,AcceleratorName,Extra\r\n" +
		"r1,1.25,\"{'Gpus': [{'Name': 'L4', 'MemoryInfo': {'SizeInMiB': 24}}]}\",8,32,a.b,0.5,L4,x\r\n" +
		"r1,,,8,32,blank,,,\r\n" +
		"r1,0,,8,32,zero,,,\r\n"
	got := offersIn(t, "runpod", text)
	if len(got) != 1 {
		t.Fatalf("a blank price, and zero, must offer nothing: %+v", got)
	}
	o := got[0]
	if o.Zone != "" || o.HourlyUSD != 1.25 || o.InstanceType.AcceleratorMemoryGiB != 24 || o.InstanceType.Accelerator.Count != 0.5 {
		t.Errorf("offer %+v", o)
	}
}

func TestGCPPricesAreJoined(t *testing.T) {
	text := v5Header +
		"a2-highgpu-1g,,,12,85,,0.75,0.25,r1,r1-a\n" +
		"a2-highgpu-1g,,,12,85,,0.75,0.25,r1,r1-b\n" + // no A100 there
		"n1-standard-8,,,8,30,,0.5,,r1,r1-a\n" +
		"n1-standard-96,,,96,360,,4.5,1,r1,r1-a\n" +
		"e2-standard-8,,,8,32,,0.25,0.1,r1,r1-a\n" +
		"a4-highgpu-8g,,,224,3968,,0,0,r1,r1-a\n" + // all of its price is in the devices' row
		"a9-megagpu-8g,,,224,3968,,2,1,r1,r1-a\n" + // a family nobody knows, with devices nobody prices
		"ct9-hightpu-4t,,,24,48,,2,1,r1,r1-a\n" +
		"g1-small,,,1,1.7,,0.03,,r1,r1-a\n" +
		",B200,8,,,B200,60,20,r1,r1-a\n" +
		",A100,1,,,A100,3,1,r1,r1-a\n" +
		",T4,1,,,T4,0.25,0.125,r1,r1-a\n" +
		",tpu-v2-8,1,,,tpu-v2-8,4.5,1.5,r1,r1-a\n"
	got := map[string]float64{}
	for _, o := range offersIn(t, "gcp", text) {
		got[o.InstanceType.Name+" "+o.InstanceType.Accelerator.String()+" "+o.Zone+" "+string(o.Market)] = o.HourlyUSD
	}
	want := map[string]float64{
		"a2-highgpu-1g A100:1 r1-a on_demand": 3.75, "a2-highgpu-1g A100:1 r1-a spot": 1.25,
		"n1-standard-8  r1-a on_demand": 0.5, "n1-standard-8 T4:1 r1-a on_demand": 0.75,
		"n1-standard-96  r1-a on_demand": 4.5, "n1-standard-96  r1-a spot": 1,
		"e2-standard-8  r1-a on_demand": 0.25, "e2-standard-8  r1-a spot": 0.1,
		"a4-highgpu-8g B200:8 r1-a on_demand": 60, "a4-highgpu-8g B200:8 r1-a spot": 20, "g1-small  r1-a on_demand": 0.03,
		"TPU-VM tpu-v2-8:1 r1-a on_demand": 4.5, "TPU-VM tpu-v2-8:1 r1-a spot": 1.5,
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %v, want %v", k, got[k], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d offers, want %d: %v", len(got), len(want), got)
	}
}

// offersIn returns every offer of a file's text, by way of a snapshot.
func offersIn(t *testing.T, cloudName, text string) []cloud.Offer {
	t.Helper()
	rows, _, err := vms.Parse("x", cloudName, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	snap, err := snapshot.Open(cloudName, snapshot.Build(rows, [32]byte{}, snapshot.Stamp{}))
	if err != nil {
		t.Fatal(err)
	}
	var all []cloud.Offer
	for o := range snap.Each(nil) {
		all = append(all, *o)
	}
	return all
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEveryEmbeddedCatalogReads(t *testing.T) {
	set, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	clouds, err := set.Clouds()
	if err != nil {
		t.Fatal(err)
	}
	sources, err := set.Sources(context.Background(), clouds)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sources {
		if s.Offers == 0 || s.Date.IsZero() != (about.Of(s.Cloud).Date == "") {
			t.Errorf("source %+v", s)
		}
	}
	best, ok, err := set.Best(context.Background(), &cloud.Requirement{Accelerators: []cloud.Accelerator{{Name: "T4", Count: 1}}, Cloud: "gcp"}, clouds)
	if err != nil || !ok || best.InstanceType.Name != "n1-highmem-4" {
		t.Errorf("the cheapest T4 on gcp is %+v, %v, %v", best, ok, err)
	}
}

// The newest accelerators are found by the names that SkyPilot has for them, in
// the market that sells them, and in no other.
func TestEmbeddedAccelerators(t *testing.T) {
	set, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		cloud, accelerator string
		count              float64
		region             string
		market             cloud.Market
		want               string
	}{
		{"aws", "B300", 8, "", cloud.OnDemand, "p6-b300.48xlarge"},
		{"aws", "h200", 8, "eu-north-1", cloud.OnDemand, "p5en.48xlarge"},
		{"aws", "RTXPro6000", 1, "", cloud.OnDemand, "g7e.2xlarge"},
		{"aws", "L4", 0.125, "", cloud.OnDemand, "g6f.large"},
		{"aws", "L4", 8, "ap-northeast-1", cloud.OnDemand, "g6.48xlarge"},
		{"aws", "Inferentia2", 1, "eu-west-1", cloud.OnDemand, "inf2.xlarge"},
		{"aws", "Trainium2", 16, "", cloud.OnDemand, ""},
		{"aws", "GB200", 4, "", cloud.OnDemand, ""},
		{"gcp", "B200", 8, "us-west2", cloud.Spot, "a4-highgpu-8g"},
		{"gcp", "B200", 8, "", cloud.OnDemand, ""},
		{"gcp", "H100", 1, "europe-west4", cloud.Spot, "a3-highgpu-1g"},
		{"gcp", "H100", 1, "", cloud.OnDemand, ""},
		{"gcp", "L4", 1, "asia-south1", cloud.OnDemand, "g2-standard-4"},
		{"gcp", "T4", 1, "asia-southeast1", cloud.OnDemand, "n1-highmem-4"},
		{"gcp", "RTXPRO6000", 8, "", cloud.OnDemand, "g4-standard-384"},
		{"gcp", "GB200", 4, "", cloud.OnDemand, ""},
		{"oci", "GB300", 4, "eu-frankfurt-1", cloud.OnDemand, "BM.GPU.GB300.4"},
		{"oci", "MI355X", 8, "", cloud.OnDemand, "BM.GPU.MI355X.8"},
		{"oci", "V100", 1, "", cloud.Spot, "VM.GPU3.1"},
		{"runpod", "RTXPRO6000", 2, "JP", cloud.OnDemand, "2x_RTXPRO6000_SECURE"},
		{"ibm", "H100", 8, "", cloud.OnDemand, ""},
	} {
		req := &cloud.Requirement{
			Accelerators: []cloud.Accelerator{{Name: tt.accelerator, Count: tt.count}},
			Cloud:        tt.cloud, Region: tt.region, Markets: []cloud.Market{tt.market},
		}
		best, ok, err := set.Best(context.Background(), req, []string{tt.cloud})
		if err != nil || ok != (tt.want != "") || ok && best.InstanceType.Name != tt.want {
			t.Errorf("%v %s:%v in %q of %s is %q, %v, %v; want %q", tt.market, tt.accelerator, tt.count, tt.region, tt.cloud, best.InstanceType.Name, ok, err, tt.want)
		}
		if ok && (best.HourlyUSD <= 0 || best.Market != tt.market) {
			t.Errorf("%s costs %v as %v", best.InstanceType.Name, best.HourlyUSD, best.Market)
		}
	}
}
