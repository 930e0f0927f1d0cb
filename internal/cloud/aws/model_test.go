// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// modelFile holds what the official description of EC2, version 2016-11-15,
// says of the driver's calls: a parameter a line, named as it travels, with N
// for a list's index, then its type and what else is demanded of it. The lane
// test-aws derives it from botocore's copy of that description, and compares.
const modelFile = "testdata/ec2-2016-11-15.txt"

// parameter is one line.
type parameter struct {
	kind     string // string, integer, boolean, ..., or structure
	required bool   // wherever the structure that it belongs to is sent
	min, max float64
	pattern  string
	// enum are the values there are. "InstanceType" alone stands for those of
	// the SDK, which are too many to list.
	enum []string
}

func (p parameter) String() string {
	text := p.kind
	if p.required {
		text += " required"
	}
	if p.min != 0 {
		text += " min=" + strconv.FormatFloat(p.min, 'f', -1, 64)
	}
	if p.max != 0 {
		text += " max=" + strconv.FormatFloat(p.max, 'f', -1, 64)
	}
	if p.pattern != "" {
		text += " pattern=" + p.pattern
	}
	if len(p.enum) > 0 {
		text += " enum=" + strings.Join(p.enum, "|")
	}
	return text
}

func parseParameter(words []string) (parameter, error) {
	p := parameter{kind: words[0]}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		var err error
		switch key {
		case "required":
			p.required = true
		case "min":
			p.min, err = strconv.ParseFloat(value, 64)
		case "max":
			p.max, err = strconv.ParseFloat(value, 64)
		case "pattern":
			p.pattern = value
		case "enum":
			p.enum = strings.Split(value, "|")
		default:
			err = fmt.Errorf("what is %q", w)
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// model is the description by action and parameter.
type model map[string]map[string]parameter

func readModel(t *testing.T) model {
	t.Helper()
	text, err := os.ReadFile(modelFile)
	if err != nil {
		t.Fatal(err)
	}
	m := model{}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if len(words) == 1 { // an action without parameters of its own still is one
			m[words[0]] = map[string]parameter{}
			continue
		}
		p, err := parseParameter(words[2:])
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if m[words[0]] == nil {
			m[words[0]] = map[string]parameter{}
		}
		m[words[0]][words[1]] = p
	}
	return m
}

// check says what is wrong with a request in the eyes of the description.
func (m model) check(v url.Values) []string {
	action := v.Get("Action")
	known, ok := m[action]
	if !ok {
		return []string{"there is no action " + action}
	}
	var wrong []string
	for name := range v {
		if name == "Action" || name == "Version" {
			continue
		}
		p, ok := known[listIndex.ReplaceAllString(name, ".N")]
		switch {
		case !ok || p.kind == "structure":
			wrong = append(wrong, "there is no parameter "+name)
		case !p.takes(v.Get(name)):
			wrong = append(wrong, fmt.Sprintf("%s cannot be %q: %s", name, v.Get(name), p))
		}
		wrong = append(wrong, gaps(v, name)...)
	}
	for name, p := range known {
		if p.required {
			wrong = append(wrong, missing(v, name)...)
		}
	}
	slices.Sort(wrong)
	return slices.Compact(wrong)
}

// gaps finds lists that do not count up from 1.
func gaps(v url.Values, name string) []string {
	var wrong []string
	for _, at := range listIndex.FindAllStringIndex(name, -1) {
		n, _ := strconv.Atoi(name[at[0]+1 : at[1]])
		if n == 1 {
			continue
		}
		before := name[:at[0]+1] + strconv.Itoa(n-1)
		found := n > 1 && slices.ContainsFunc(names(v), func(other string) bool { return other == before || strings.HasPrefix(other, before+".") })
		if !found {
			wrong = append(wrong, "the list of "+name+" does not count up from 1")
		}
	}
	return wrong
}

func names(v url.Values) []string {
	out := make([]string, 0, len(v))
	for n := range v {
		out = append(out, n)
	}
	return out
}

// missing finds the places where a required parameter is absent: the request
// itself, or each structure that it belongs to and that is sent.
func missing(v url.Values, name string) []string {
	parent, last := "", name
	if i := strings.LastIndex(strings.TrimSuffix(name, ".N"), "."); i >= 0 {
		parent, last = name[:i], name[i+1:]
	}
	last = strings.TrimSuffix(last, ".N")
	var wrong []string
	for _, place := range placesOf(v, parent) {
		full := strings.TrimPrefix(place+"."+last, ".")
		if !slices.ContainsFunc(names(v), func(n string) bool { return n == full || strings.HasPrefix(n, full+".") }) {
			wrong = append(wrong, full+" is required")
		}
	}
	return wrong
}

// placesOf are the structures of a name with N that a request sends.
func placesOf(v url.Values, parent string) []string {
	if parent == "" {
		return []string{""}
	}
	depth := strings.Count(parent, ".") + 1
	var out []string
	for n := range v {
		parts := strings.Split(n, ".")
		if len(parts) <= depth {
			continue
		}
		place := strings.Join(parts[:depth], ".")
		if listIndex.ReplaceAllString(place, ".N") == parent && !slices.Contains(out, place) {
			out = append(out, place)
		}
	}
	return out
}

func (p parameter) takes(value string) bool {
	size := float64(len(value))
	var err error
	switch p.kind {
	case "integer":
		var n int64
		n, err = strconv.ParseInt(value, 10, 32)
		size = float64(n)
	case "long":
		var n int64
		n, err = strconv.ParseInt(value, 10, 64)
		size = float64(n)
	case "float", "double":
		size, err = strconv.ParseFloat(value, 64)
	case "boolean":
		return value == "true" || value == "false"
	case "timestamp":
		_, err = time.Parse(time.RFC3339, value)
		size = p.min
	}
	switch {
	case err != nil, p.min != 0 && size < p.min, p.max != 0 && size > p.max:
		return false
	case p.pattern != "" && !regexp.MustCompile(p.pattern).MatchString(value):
		return false
	case len(p.enum) == 1 && p.enum[0] == "InstanceType":
		return slices.Contains(types.InstanceType("").Values(), types.InstanceType(value))
	}
	return len(p.enum) == 0 || slices.Contains(p.enum, value)
}

// TestModelCatchesMistakes spoils a good request in every way the description knows.
func TestModelCatchesMistakes(t *testing.T) {
	m := readModel(t)
	good := url.Values{}
	for name, value := range map[string]string{
		"Action": "RunInstances", "Version": "2016-11-15", "MinCount": "1", "MaxCount": "1", "InstanceType": "m5.large", "ClientToken": "x",
		"BlockDeviceMapping.1.Ebs.VolumeType": "gp3", "BlockDeviceMapping.1.Ebs.Encrypted": "true", "TagSpecification.1.ResourceType": "instance",
		"TagSpecification.1.Tag.1.Key": "a", "TagSpecification.1.Tag.2.Key": "b", "NetworkInterface.1.SecurityGroupId.1": "sg-1", "Monitoring.Enabled": "true",
	} {
		good.Set(name, value)
	}
	if wrong := m.check(good); len(wrong) > 0 {
		t.Errorf("a good request is wrong: %v", wrong)
	}
	for _, tt := range []struct{ name, value, want string }{
		{"MinCount", "", "MinCount is required"},
		{"MaxCount", "many", "MaxCount cannot be"},
		{"Action", "RunMachines", "there is no action"},
		{"ImageID", "ami-1", "there is no parameter ImageID"},
		{"InstanceType", "m5.enormous", "InstanceType cannot be"},
		{"BlockDeviceMapping.1.Ebs.VolumeType", "gp9", "VolumeType cannot be"},
		{"BlockDeviceMapping.1.Ebs.Encrypted", "yes", "Encrypted cannot be"},
		{"BlockDeviceMapping.1.Ebs", "x", "there is no parameter"},
		{"TagSpecification.1.Tag.4.Key", "d", "count up"},
		{"TagSpecification.0.ResourceType", "instance", "count up"},
		{"TagSpecification.1.ResourceType", "machine", "ResourceType cannot be"},
		{"Monitoring.MetricCategoryId.1", "x", ""},
		{"CreditSpecification.CpuCredits", "unlimited", ""},
		{"SecondaryInterface.1.PrivateIpAddress.1.Other", "x", "PrivateIpAddress.1.PrivateIpAddress is required"},
	} {
		spoiled := url.Values{}
		for k, v := range good {
			spoiled[k] = v
		}
		spoiled.Set(tt.name, tt.value)
		if tt.value == "" {
			spoiled.Del(tt.name)
		}
		if got := strings.Join(m.check(spoiled), "; "); !strings.Contains(got, tt.want) || (tt.want == "" && got != "") {
			t.Errorf("%s = %q: %q, want %q", tt.name, tt.value, got, tt.want)
		}
	}
}
