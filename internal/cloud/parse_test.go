// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestParseAccelerators(t *testing.T) {
	for in, want := range map[string]Accelerator{
		"A100:8":                   {"A100", 8},
		"a100":                     {"a100", 1},
		" L4 : 0.5 ":               {"L4", 0.5},
		"tpu-v3-8:1":               {"tpu-v3-8", 1},
		"Virtex UltraScale (VU9P)": {"Virtex UltraScale (VU9P)", 1},
	} {
		got, err := ParseAccelerators(in)
		if err != nil || !reflect.DeepEqual(got, []Accelerator{want}) {
			t.Errorf("ParseAccelerators(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for in, part := range map[string]string{
		"": "no name", ":8": "no name", "H100:0": "not above zero", "H100:-1": "not above zero",
		"H100:NaN": "not a plain decimal", "H100:Inf": "not a plain decimal", "H100:": "missing",
		"H100:1e3": "not a plain decimal", "H100:99999999999": "larger than", "A\nB:1": `'\n'`,
		"A:1:2": "not a plain decimal", "H100:1,5": "not a plain decimal", "{A100}": "holds",
	} {
		_, err := ParseAccelerators(in)
		wantError(t, in, err, part)
	}
	_, err := ParseAccelerators("A100:8", "a100:8")
	wantError(t, "twice", err, "listed twice")
}

func TestParseQuantities(t *testing.T) {
	cpus := map[string]Quantity{
		"8": {Value: 8}, "8+": {Value: 8, AtLeast: true}, "0.5": {Value: 0.5}, " 4 + ": {Value: 4, AtLeast: true},
	}
	for in, want := range cpus {
		if got, err := ParseCPUs(in); err != nil || got != want {
			t.Errorf("ParseCPUs(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	memory := map[string]Quantity{
		"32": {Value: 32}, "32+": {Value: 32, AtLeast: true}, "4x": {Value: 4, AtLeast: true, PerVCPU: true},
		"32GB": {Value: 32}, "512MiB+": {Value: 0.5, AtLeast: true}, "1.5 T": {Value: 1536}, "4X": {Value: 4, AtLeast: true, PerVCPU: true},
	}
	for in, want := range memory {
		if got, err := ParseMemory(in); err != nil || got != want {
			t.Errorf("ParseMemory(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for in, part := range map[string]string{
		"": "missing", "+": "missing", "0": "above zero", "-3": "above zero", "NaN": "plain decimal",
		"1e9": "plain decimal", "8++": "plain decimal", "many": "plain decimal",
		strings.Repeat("9", 400): "larger than", "4x": "memory only",
	} {
		_, err := ParseCPUs(in)
		wantError(t, in, err, part)
	}
	for in, part := range map[string]string{
		"": "missing", "x": "missing", "0x": "above zero", "32KB": "plain decimal", "2000TB": "larger than",
	} {
		_, err := ParseMemory(in)
		wantError(t, in, err, part)
	}
}

// What a catalog does not tell of a machine satisfies no bound; with "100x", zero
// GiB for zero vCPUs would.
func TestUnknownAmountsSatisfyNothing(t *testing.T) {
	for _, wish := range []Quantity{{Value: 100, PerVCPU: true, AtLeast: true}, {Value: 1, AtLeast: true}, {Value: 4}} {
		for _, size := range []struct{ got, vcpus float64 }{{0, 0}, {0, 8}, {-1, 8}} {
			if wish.Holds(size.got, size.vcpus) {
				t.Errorf("%v of a machine with %v vCPUs satisfies %s", size.got, size.vcpus, wish)
			}
		}
	}
	if (Quantity{Value: 1, PerVCPU: true, AtLeast: true}).Holds(64, 0) {
		t.Error("64 GiB satisfy a ratio to vCPUs that nobody knows")
	}
	if !(Quantity{}).Holds(0, 0) {
		t.Error("an unknown amount does not satisfy who asks for none")
	}
}

// written is a place as tables show it, which can be read again.
func written(i Infra) string {
	if i == (Infra{}) {
		return "*"
	}
	return ShortPlace(i.Cloud, i.Region, i.Zone)
}

func TestParseInfra(t *testing.T) {
	for in, want := range map[string]Infra{
		"aws": {"aws", "", ""}, "AWS/us-east-1": {"aws", "us-east-1", ""}, "*": {},
		"*/us-east-1": {"", "us-east-1", ""}, "aws/us-east-1/*": {"aws", "us-east-1", ""},
		"gcp/*/us-central1-a": {"gcp", "", "us-central1-a"},
	} {
		got, err := ParseInfra(in)
		if err != nil || got != want {
			t.Errorf("ParseInfra(%q) = %v, %v; want %v", in, got, err, want)
		}
		if again, err := ParseInfra(written(got)); err != nil || again != got {
			t.Errorf("ParseInfra(%q) = %v, %v; want %v again", written(got), again, err, got)
		}
	}
	for in, part := range map[string]string{
		"": "empty", "aws//b": "part 2 is empty", "a/b/c/d": "4 parts", "a b": "holds", "aws/": "part 2 is empty",
	} {
		_, err := ParseInfra(in)
		wantError(t, in, err, part)
	}
}

func TestParsePorts(t *testing.T) {
	got, err := ParsePorts("8005-8020", "80", "8000-8010", "81")
	want := []PortRange{{80, 81}, {8000, 8020}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("ParsePorts = %v, %v; want %v", got, err, want)
	}
	for in, part := range map[string]string{
		"": "missing", "0": "outside 1 to 65535", "70000": "outside", "9-8": `write "8-9"`, "1-": "missing",
		"http": "whole number", "1-2-3": "whole number", "-5": "missing",
	} {
		_, err := ParsePorts(in)
		wantError(t, in, err, part)
	}
}

func TestParseMarket(t *testing.T) {
	got, ordered, err := ParseMarket("spot_then_on_demand")
	if err != nil || !ordered || !reflect.DeepEqual(got, []Market{Spot, OnDemand}) {
		t.Errorf("ParseMarket = %v, %v, %v", got, ordered, err)
	}
	_, _, err = ParseMarket("preemptible")
	wantError(t, "preemptible", err, "spot_then_on_demand")
}

func wantError(t *testing.T, in string, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("%q: error %v; want one with %q", in, err, part)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"A100:8", "8+", "4x", "32GiB", "aws/us-east-1/*", "8000-8010", "1e400", "\x00", "-", "٣"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if as, err := ParseAccelerators(s); err == nil {
			fuzzAmount(t, s, as[0].Count)
			if again, err := ParseAccelerators(as[0].String()); err != nil || !reflect.DeepEqual(again, as) {
				t.Errorf("%q reads back as %v, %v", as[0], again, err)
			}
		}
		for _, parse := range []func(string) (Quantity, error){ParseCPUs, ParseMemory} {
			if q, err := parse(s); err == nil {
				fuzzAmount(t, s, q.Value)
				if again, err := parse(q.String()); err != nil || again != q {
					t.Errorf("%q reads back as %v, %v", q, again, err)
				}
			}
		}
		if i, err := ParseInfra(s); err == nil {
			if again, err := ParseInfra(written(i)); err != nil || again != i {
				t.Errorf("%q reads back as %v, %v", i, again, err)
			}
		}
		if ports, err := ParsePorts(s); err == nil && (ports[0].First == 0 || ports[0].First > ports[0].Last) {
			t.Errorf("%q gave %v", s, ports)
		}
	})
}

func fuzzAmount(t *testing.T, s string, n float64) {
	t.Helper()
	if !(n > 0) || math.IsInf(n, 0) {
		t.Errorf("%q gave the amount %v", s, n)
	}
}
