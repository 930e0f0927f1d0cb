// SPDX-License-Identifier: MPL-2.0

package ec2proxy

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// failure is EC2's answer to a call that failed.
func failure(status int, code, message string) *answer {
	body := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>test-request</RequestID></Response>`,
		html.EscapeString(code), html.EscapeString(message))
	return &answer{status: status, header: http.Header{"Content-Type": {"text/xml;charset=UTF-8"}}, body: []byte(body)}
}

// refuse is the answer to an unknown access key, in the service's own shape.
func refuse(c call) *answer {
	if c.service == "sts" {
		a := failure(http.StatusForbidden, "", "")
		a.body = []byte(`<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid.</Message></Error><RequestId>test-request</RequestId></ErrorResponse>`)
		return a
	}
	return failure(http.StatusUnauthorized, "AuthFailure", "AWS was not able to validate the provided access credentials")
}

var instanceID = regexp.MustCompile(`<instanceId>(i-[0-9a-f]+)</instanceId>`)

func instanceIDs(body []byte) []string {
	var out []string
	for _, m := range instanceID.FindAllSubmatch(body, -1) {
		out = append(out, string(m[1]))
	}
	return out
}

var (
	shownState   = regexp.MustCompile(`<(instanceState|currentState)><code>\d+</code><name>[a-z-]+</name></`)
	lingeringXML = []byte(`<$1><code>32</code><name>shutting-down</name></`)
	addresses    = regexp.MustCompile(`<(ipAddress|privateIpAddress)>[0-9.]+</(?:ipAddress|privateIpAddress)>`)
	stateReason  = regexp.MustCompile(`<stateReason>.*?</stateReason>`)
	starvedXML   = []byte(`<stateReason><code>Server.InsufficientInstanceCapacity</code><message>There was insufficient capacity available to satisfy the launch request.</message></stateReason><$1><code>48</code><name>terminated</name></`)
	// publicAddress is that of the machine, and of its interfaces.
	publicAddress = regexp.MustCompile(`<ipAddress>[0-9.]+</ipAddress>|<association>.*?</association>`)
	space         = regexp.MustCompile(`>\s+<`)
)

// rewrite hides the items of a set whose machines are not shown yet, and shows
// those that linger as shutting down.
func (p *Proxy) rewrite(body []byte, set string) []byte {
	body = space.ReplaceAll(body, []byte("><"))
	var out bytes.Buffer
	last := 0
	for _, item := range items(body, set) {
		out.Write(body[last:item[0]])
		out.Write(p.rewriteItem(body[item[0]:item[1]]))
		last = item[1]
	}
	out.Write(body[last:])
	return out.Bytes()
}

func (p *Proxy) rewriteItem(item []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range instanceIDs(item) {
		if at, ok := p.born[id]; ok && time.Since(at) < p.HideFor {
			return nil
		}
		if p.starved[id] {
			item = stateReason.ReplaceAll(item, nil)
			item = shownState.ReplaceAll(item, starvedXML)
		}
		if time.Now().Before(p.blank[id]) {
			item = publicAddress.ReplaceAll(item, nil)
		}
		if at, ok := p.ended[id]; ok && time.Since(at) < p.LingerFor {
			return shownState.ReplaceAll(item, lingeringXML)
		}
		if p.Address != nil {
			item = addresses.ReplaceAll(item, []byte("<$1>"+p.Address(id)+"</$1>"))
		}
	}
	return item
}

// items are the ranges of the items right below the element set.
func items(body []byte, set string) [][2]int {
	dec := xml.NewDecoder(bytes.NewReader(body))
	var path []string
	var out [][2]int
	start := 0
	for {
		at := int(dec.InputOffset())
		token, err := dec.Token()
		if err != nil {
			return out
		}
		switch t := token.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
			if len(path) == 3 && path[1] == set {
				start = at
			}
		case xml.EndElement:
			if len(path) == 3 && path[1] == set {
				out = append(out, [2]int{start, int(dec.InputOffset())})
			}
			path = path[:len(path)-1]
		}
	}
}

// firstSpot returns a spot machine among those of the call.
func (p *Proxy) firstSpot(r *http.Request, c call) string {
	for _, id := range c.list("InstanceId") {
		shown := p.ask(r, url.Values{"Action": {"DescribeInstances"}, "InstanceId.1": {id}})
		if strings.Contains(shown, "<instanceLifecycle>spot<") {
			return id
		}
	}
	return ""
}

// inUse reports whether a machine still has an interface in the group: one that
// the emulator shows, or one that lingers with its machine. With DetachFor the
// first question about a group is too early, however late it comes on a slow
// machine.
func (p *Proxy) inUse(r *http.Request, c call) bool {
	id := c.form.Get("GroupId")
	shown := p.ask(r, url.Values{"Action": {"DescribeNetworkInterfaces"}, "Filter.1.Name": {"group-id"}, "Filter.1.Value.1": {id}})
	if strings.Contains(shown, "<networkInterfaceId>") {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.DetachFor > 0 && !p.asked[id]
	for machine, at := range p.ended {
		if (first || time.Since(at) < p.LingerFor+p.DetachFor) && slices.Contains(p.behind[machine], id) {
			if p.asked == nil {
				p.asked = map[string]bool{}
			}
			p.asked[id] = true
			return true
		}
	}
	return false
}

// placementGroup is one of the proxy's own: the emulator has none.
type placementGroup struct {
	region string
	tags   url.Values
}

// placement answers the calls about placement groups.
func (p *Proxy) placement(c call) *answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.groups == nil {
		p.groups = map[string]placementGroup{}
	}
	name := c.form.Get("GroupName")
	key := c.region + "/" + name
	_, exists := p.groups[key]
	action, inner := c.form.Get("Action"), "<return>true</return>"
	switch {
	case action == "CreatePlacementGroup" && exists:
		return failure(http.StatusBadRequest, "InvalidPlacementGroup.Duplicate", "The Placement Group '"+name+"' already exists.")
	case action == "CreatePlacementGroup":
		p.groups[key] = placementGroup{region: c.region, tags: tagParameters(c.form, "TagSpecification.1.Tag")}
	case action == "DeletePlacementGroup" && !exists:
		return failure(http.StatusBadRequest, "InvalidPlacementGroup.Unknown", "The Placement Group '"+name+"' is unknown.")
	case action == "DeletePlacementGroup":
		delete(p.groups, key)
	default:
		inner = "<placementGroupSet>" + p.listGroups(c) + "</placementGroupSet>"
	}
	a := failure(http.StatusOK, "", "")
	a.body = []byte(fmt.Sprintf(`<%sResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>test-request</requestId>%s</%sResponse>`, action, inner, action))
	return a
}

func (p *Proxy) listGroups(c call) string {
	var out strings.Builder
	for key, g := range p.groups {
		if g.region != c.region {
			continue
		}
		fmt.Fprintf(&out, "<item><groupName>%s</groupName><strategy>cluster</strategy><state>available</state><tagSet>", strings.TrimPrefix(key, g.region+"/"))
		for k, v := range g.tags {
			fmt.Fprintf(&out, "<item><key>%s</key><value>%s</value></item>", html.EscapeString(k), html.EscapeString(v[0]))
		}
		out.WriteString("</tagSet></item>")
	}
	return out.String()
}

// tagParameters reads a numbered list of keys and values.
func tagParameters(form url.Values, prefix string) url.Values {
	out := url.Values{}
	for i := 1; form.Has(fmt.Sprintf("%s.%d.Key", prefix, i)); i++ {
		out.Set(form.Get(fmt.Sprintf("%s.%d.Key", prefix, i)), form.Get(fmt.Sprintf("%s.%d.Value", prefix, i)))
	}
	return out
}

// PlacementGroups is how many placement groups there are.
func (p *Proxy) PlacementGroups() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.groups)
}
