// SPDX-License-Identifier: MPL-2.0

package fetch

import (
	"fmt"
	"slices"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/lambda/lambdafake"
)

// TestLambdaAsDocumented: the fetcher reads what a Lambda answers that is held
// against the official file: each type where there is some free.
func TestLambdaAsDocumented(t *testing.T) {
	l := lambdafake.Start(t, lambdafake.Options{})
	l.Fill("gpu_1x_a10", "us-east-1")
	l.Fill("gpu_1x_a6000", "*")
	getenv := func(name string) string { return map[string]string{"LAMBDA_API_KEY": lambdafake.Key}[name] }
	rows, err := lambda(t.Context(), Options{Endpoint: l.URL, Client: l.Client(), Getenv: getenv})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		if r.Region == "us-east-1" || r.Type == "gpu_1x_a6000" {
			got = append(got, fmt.Sprintf("%s %s:%d %.2f %s", r.Type, r.Accelerator, int(r.Count), r.Price, r.Arch))
		}
	}
	slices.Sort(got)
	if want := []string{"gpu_1x_gh200 GH200:1 2.29 arm64", "gpu_8x_h100_sxm5 H100:8 31.92 x86_64"}; !slices.Equal(got, want) {
		t.Errorf("read are %q, want %q", got, want)
	}
}
