// SPDX-License-Identifier: MPL-2.0

package lambdafake

import "github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"

func auditor() (func(fakekit.Exchange) error, error) { return nil, nil }
