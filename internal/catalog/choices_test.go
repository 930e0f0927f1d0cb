// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/about"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// choice is a request that people write, the machine that it got when only its
// price counted, and why it gets another one. An empty machine is that the request
// could not be written.
type choice struct{ request, before, why string }

func choices() []choice {
	return []choice{
		{`{}`, "t4g.2xlarge, aws/ap-south-1, $0.1792", "x86_64, not burstable"},
		{`cpus = "2"`, "t4g.large, aws/ap-south-1, $0.0448", "x86_64, not burstable"},
		{`cpus = "2+"`, "t4g.large, aws/ap-south-1, $0.0448", "x86_64, not burstable"},
		{`cpus = "4+"`, "t4g.xlarge, aws/ap-south-1, $0.0896", "x86_64, not burstable"},
		{`cpus = "8+"`, "t4g.2xlarge, aws/ap-south-1, $0.1792", "x86_64, not burstable"},
		{`cpus = "16", memory = "32"`, "c6g.4xlarge, aws/us-east-1, $0.544", "x86_64"},
		{`cpus = "32+", memory = "4x"`, "2x_RTX3090_SECURE, runpod/CA, $0.92", "no device asked for"},
		{`cpus = "96+"`, "8x_RTX3090_SECURE, runpod/CA, $3.68", "no device asked for"},
		{`memory = "64+"`, "e2-highmem-8, gcp/us-central1/us-central1-a, $0.3616", "the same"},
		{`memory = "8x", cpus = "8+"`, "e2-highmem-8, gcp/us-central1/us-central1-a, $0.3616", "the same"},
		{`memory = "500+"`, "4x_RTX3090_SECURE, runpod/CA, $1.84", "no device asked for"},
		{`cpus = "8+", use_spot = true`, "a2-highgpu-1g spot, gcp/me-west1/me-west1-a, $1.546", "spot prices are missing: the plan says so, and buys no device instead"},
		{`cpus = "8+", market = "any"`, "t4g.2xlarge, aws/ap-south-1, $0.1792", "x86_64, not burstable"},
		{`cpus = "8+", market = "spot_then_on_demand"`, "a2-highgpu-1g spot, gcp/me-west1/me-west1-a, $1.546", "no device asked for; the plan says that spot prices are missing"},
		{`cpus = "8+", infra = "aws"`, "t4g.2xlarge, aws/ap-south-1, $0.1792", "x86_64, not burstable"},
		{`cpus = "8+", infra = "gcp"`, "e2-standard-8, gcp/us-central1/us-central1-a, $0.268", "the same"},
		{`cpus = "8+", infra = "aws/eu-central-1"`, "t4g.2xlarge, aws/eu-central-1, $0.3072", "x86_64, not burstable"},
		{`cpus = "8+", num_nodes = 4`, "t4g.2xlarge, aws/ap-south-1, $0.7168", "x86_64, not burstable"},
		{`cpus = "8+", max_hourly_cost = 0.3`, "t4g.2xlarge, aws/ap-south-1, $0.1792", "x86_64, not burstable"},
		{`instance_type = "t3.xlarge"`, "t3.xlarge, aws/us-east-1, $0.1664", "asked for by name"},
		{`instance_type = "m7g.xlarge"`, "m7g.xlarge, aws/us-east-1, $0.1632", "asked for by name"},
		{`infra = "lambda", cpus = "8+"`, "gpu_1x_a6000, lambda/asia-northeast-1, $1.09", "nothing else there: the plan says so; the US first"},
		{`infra = "runpod", cpus = "8+"`, "1x_RTXA4500_SECURE, runpod/CA, $0.25", "nothing else there: the plan says so; the US first"},
		{`accelerators = "T4"`, "n1-standard-1, gcp/us-central1/us-central1-a, $0.3975", "a host of 4 vCPUs and 16 GiB"},
		{`accelerators = "T4:4"`, "n1-standard-1, gcp/us-central1/us-central1-a, $1.448", "a host of 16 vCPUs and 64 GiB"},
		{`accelerators = "T4:1", cpus = "2+"`, "n1-standard-2, gcp/us-central1/us-central1-a, $0.445", "a host of 16 GiB"},
		{`accelerators = "T4:1", cpus = "2"`, "n1-standard-2, gcp/us-central1/us-central1-a, $0.445", "the same"},
		{`accelerators = "T4:1", memory = "4+"`, "", "a host by its memory alone"},
		{`accelerators = "V100:8"`, "gpu_8x_v100, lambda/asia-northeast-1, $6.32", "one price: the US first"},
		{`accelerators = "V100:1", infra = "gcp"`, "n1-standard-1, gcp/us-central1/us-central1-a, $2.527", "a host of 4 vCPUs and 16 GiB"},
		{`accelerators = "L4"`, "1x_L4_SECURE, runpod/CA, $0.49", "one price: the US first"},
		{`accelerators = "A10G"`, "g5.xlarge, aws/us-east-1, $1.006", "the same"},
		{`accelerators = "A100:8"`, "gpu_8x_a100, lambda/asia-northeast-1, $15.92", "one price: the US first"},
		{`accelerators = "A100:8", use_spot = true`, "a2-highgpu-8g spot, gcp/me-west1/me-west1-a, $12.37", "the same"},
		{`accelerators = "A100-80GB:8"`, "8x_A100-80GB_SECURE, runpod/CA, $14.32", "one price: the US first"},
		{`accelerators = "H100"`, "1x_H100_SECURE, runpod/CA, $2.89", "one price: the US first"},
		{`accelerators = "H100:8"`, "8x_H100_SECURE, runpod/CA, $23.12", "one price: the US first"},
		{`accelerators = "H200:8"`, "p5en.48xlarge, aws/us-east-1, $63.3", "the same"},
		{`accelerators = "GH200"`, "gpu_1x_gh200, lambda/asia-northeast-1, $2.29", "one price: the US first; the device is in arm64 machines only"},
		{`accelerators = "T4G"`, "g5g.xlarge, aws/us-east-1, $0.42", "the device is in arm64 machines only"},
		{`accelerators = "H100-MEGA-80GB:8"`, "nothing", "the name with the memory"},
		{`accelerators = "V520"`, "nothing", "a part of one name only"},
		{`accelerators = "80GB+"`, "nothing", "by the memory of a device"},
		{`arch = "arm64"`, "", "asked for"},
		{`cpus = "8+", infra = "aws", burstable = true`, "", "asked for"},
		{`instance_families = ["t4g"]`, "", "asked for by name"},
		{`instance_families = ["t3.xlarge"]`, "", "asked for by name"},
		{`instance_families = ["g5"]`, "", "asked for by name"},
		{`cpus = "8", infra = "aws", instance_families = ["c6i"]`, "", "no memory asked for"},
		{`cpus = "8+", excluded_instance_types = ["e2*"]`, "", "left out by name"},
		{`cpus = "8+", infra = "aws", arch = "any"`, "", "the lower price"},
		{`cpus = "8+", infra = "aws", preferred_regions = ["us-west-2"]`, "", "one price: the region that is preferred"},
	}
}

// chosen is the machine that a request gets from the built-in catalogs.
func chosen(t *testing.T, set *Set, text string) string {
	t.Helper()
	req, err := requestOf(text)
	if err != nil {
		return "error: " + err.Error()
	}
	clouds := []string{"aws", "gcp", "lambda", "runpod"}
	if req.Alternatives, err = set.Resolve(t.Context(), req.Alternatives, clouds); err != nil {
		t.Fatal(err)
	}
	if req.Unpriced, err = set.Unpriced(t.Context(), req.Alternatives, []string{"aws", "gcp"}); err != nil {
		t.Fatal(err)
	}
	var plan optimizer.Plan
	_, err = set.Over(t.Context(), req.Alternatives, clouds, func(offers iter.Seq[*cloud.Offer]) error {
		plan, err = optimizer.RankEach(req, offers, nil, nil)
		return err
	})
	var infeasible *optimizer.InfeasibleError
	switch {
	case errors.As(err, &infeasible):
		return "nothing"
	case err != nil:
		return "error: " + err.Error()
	}
	o := plan.Placements[0].Offer
	market := ""
	if o.Market == cloud.Spot {
		market = " spot"
	}
	return fmt.Sprintf("%s%s, %s, $%.4g", o.InstanceType.Name, market, o.Place(), plan.Choices[0].HourlyUSD)
}

func listed(list string) []string {
	return strings.Split(strings.ReplaceAll(strings.Trim(list, "[]"), `"`, ""), ", ")
}

// requestOf reads a request as it stands in HCL.
func requestOf(text string) (req optimizer.Request, err error) {
	var r cloud.Requirement
	for _, field := range regexp.MustCompile(`([a-z_]+) = (\[[^\]]*\]|[^,]*)`).FindAllStringSubmatch(text, -1) {
		name, value := field[1], strings.Trim(field[2], `"`)
		switch name {
		case "cpus":
			r.CPUs, err = cloud.ParseCPUs(value)
		case "memory":
			r.Memory, err = cloud.ParseMemory(value)
		case "accelerators":
			r.Accelerators, err = cloud.ParseAccelerators(value)
		case "arch":
			r.Arch = value
		case "burstable":
			r.Burstable = value == "true"
		case "instance_families":
			r.Families = listed(value)
		case "excluded_instance_types":
			r.ExcludedTypes = listed(value)
		case "preferred_regions":
			for _, name := range listed(value) {
				req.Preferred = append(req.Preferred, optimizer.Preference{Region: name, Area: about.AreaOf(name)})
			}
		case "instance_type":
			r.InstanceType = value
		case "use_spot":
			r.Markets = []cloud.Market{cloud.Spot}
		case "market":
			r.Markets, r.MarketsOrdered, err = cloud.ParseMarket(value)
		case "infra":
			var in cloud.Infra
			in, err = cloud.ParseInfra(value)
			r.Cloud, r.Region, r.Zone = in.Cloud, in.Region, in.Zone
		case "num_nodes":
			_, err = fmt.Sscan(value, &req.Nodes)
		case "max_hourly_cost":
			_, err = fmt.Sscan(value, &r.MaxHourlyUSD)
		default:
			err = fmt.Errorf("%s is not known here", name)
		}
		if err != nil {
			return req, err
		}
	}
	req.Alternatives = []cloud.Requirement{optimizer.WithDefaults(r)}
	return req, nil
}

// TestChoices holds the guide's table to what requests get, from the built-in
// catalogs of the clouds that have drivers.
func TestChoices(t *testing.T) {
	set, err := Open(Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile("../docs/templates/guides/prices.md")
	if err != nil {
		t.Fatal(err)
	}
	table := "| `resources` | By price alone | Now | Why |\n| --- | --- | --- | --- |\n"
	for _, c := range choices() {
		now := chosen(t, set, c.request)
		if c.before == now {
			c.why = "the same"
		}
		table += fmt.Sprintf("| `%s` | %s | %s | %s |\n", c.request, cmp.Or(c.before, "-"), now, c.why)
	}
	if !strings.Contains(string(guide), "\n\n"+table+"\n") {
		t.Errorf("the guide's table of choices should be:\n%s", table)
	}
}
