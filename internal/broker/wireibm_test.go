// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/ibm"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/ibm/ibmfake"
)

// wireIBM is IBM Cloud, where a machine comes with a disk and an address that are
// paid for.
func wireIBM(t *testing.T, lag time.Duration) (*fakekit.Kit, wireAPI) {
	t.Helper()
	c := ibmfake.Start(t, ibmfake.Options{InMemory: true, BootTime: 50 * time.Second, EndTime: 20 * time.Second, VisibleAfter: lag, TokenTime: 3 * time.Minute})
	offer := func(region string, price float64) cloud.Offer {
		o := wireOffer(ibm.Name, region, "bx2-2x8", price)
		o.Zone = region + "-1"
		return o
	}
	return c.Kit, wireAPI{
		cloud: ibm.Name, nodes: 2, offers: []cloud.Offer{offer("us-south", 0.1), offer("us-east", 0.2), offer("eu-de", 0.3)},
		calls: []string{
			ibmfake.CallToken, ibmfake.CallCreate, ibmfake.CallList, ibmfake.CallGet, ibmfake.CallDelete, ibmfake.CallMark, ibmfake.CallAddress, ibmfake.CallVolumes,
			"GET /{region}/v1/floating_ips", "DELETE /{region}/v1/floating_ips/{id}", "GET /{region}/v1/volumes/{id}",
			"GET /{region}/v1/security_groups", "POST /{region}/v1/security_groups", "DELETE /{region}/v1/security_groups/{id}",
		},
		create: ibmfake.CallCreate, list: ibmfake.CallList, mark: ibmfake.CallMark, remove: ibmfake.CallDelete,
		cheapest: `"us-south-1"`, full: ibmfake.NoRoom(), poor: fakekit.Refusef(http.StatusBadRequest, "over_quota", "It will put the user over quota."),
		empty: `{"instances": []}`, dud: c.LateCapacity(),
		factory: func(over http.RoundTripper) cloud.Factory { return ibm.New().Over(over) },
		creds:   cloud.Credentials{Values: map[string]string{"api_key": ibmfake.Key, "endpoint_url": c.Endpoint(), "iam_endpoint_url": c.URL}},
		tags: func(launch []byte) map[string]string {
			var in ibmfake.Order
			if json.Unmarshal(launch, &in) != nil || in.Boot == nil {
				return nil // it is refused then
			}
			return wireIBMTags(in.Boot.Volume.Tags)
		},
		all:  func() []cloud.Instance { return wireIBMMachines(c) },
		left: func() []string { return wireIBMLeft(c) },
		end:  c.Kill,
		stray: func(id cloud.Identity) {
			var words []string
			for k, v := range id.Tags() {
				words = append(words, k+":"+wireIBMEscape(v))
			}
			c.Add(id.Name(50), "us-south", "us-south-1", "bx2-2x8", words)
		},
	}
}

// wireIBMMachines are the machines there are, by the tags of their disks.
func wireIBMMachines(c *ibmfake.Cloud) (all []cloud.Instance) {
	held, addresses := map[string][]string{}, map[string]string{}
	machines := c.Machines()
	for _, v := range c.Volumes() {
		held[v.ID] = v.Tags
	}
	for _, a := range c.Addresses() {
		addresses[a.NIC] = a.IP
	}
	for _, m := range machines {
		end, fresh := strings.CutPrefix(m.AttachmentName, "sky-new")
		in := wireInstance(m.ID, wireIBMTags(held[m.Boot]), fresh)
		if minutes, err := strconv.ParseInt(strings.TrimPrefix(end, "-"), 36, 32); err == nil && fresh {
			in.Deadline = time.Unix(60*minutes, 0)
		}
		in.Region, in.Zone, in.State = m.Region, m.Zone, cloud.StatePending
		switch m.Status {
		case "running":
			in.State, in.ExternalIP = cloud.StateRunning, addresses[m.NIC]
		case "stopped":
			in.State = cloud.StateStopped
		case "deleting":
			in.State = cloud.StateTerminating
		}
		all = append(all, in)
	}
	return all
}

// wireIBMLeft is what belongs to no machine that is there, or to a cluster as a whole.
func wireIBMLeft(c *ibmfake.Cloud) (left []string) {
	for _, v := range c.Volumes() {
		if v.Machine == "" {
			left = append(left, "disk "+v.Name)
		}
	}
	for _, n := range c.Interfaces() {
		if n.Machine == "" {
			left = append(left, "interface "+n.Name)
		}
	}
	for _, a := range c.Addresses() {
		left = append(left, "address "+a.Name)
	}
	for _, g := range c.SecurityGroups() {
		left = append(left, "security group "+g.Name)
	}
	return left
}

// wireIBMTags reads the tags of a disk as the documentation of the driver has them.
func wireIBMTags(words []string) map[string]string {
	held := map[string]string{}
	for _, w := range words {
		if i := strings.LastIndexByte(w, ':'); i > 0 {
			held[w[:i]] = w[i+1:]
		}
	}
	out := tags.Flat{MaxKey: 60, MaxValue: 67}.Decode(held)
	for k, v := range out {
		out[k], _ = url.PathUnescape(strings.ReplaceAll(v, "_", "%")) // a stranger's may be none
	}
	return out
}

func wireIBMEscape(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}
