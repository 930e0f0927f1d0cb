// SPDX-License-Identifier: MPL-2.0

package skypilot

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// SkyPilot reads its YAML by the rules of version 1.1, as Python does, and hands
// each environment variable on as Python writes the value: an unquoted yes is
// True, 010 is 8 and 1.50 is 1.5. Scripts that look at their variables see here
// what they see there.

// envScalars are the values of a task's envs that are written out in it.
func envScalars(root at, file *ast.File) map[string]string {
	out := map[string]string{}
	for _, d := range file.Docs {
		for _, top := range membersOf(d.Body) {
			if keyOf(top) != "envs" {
				continue
			}
			for _, v := range membersOf(top.Value) {
				text, ok, err := pythonText(v.Value)
				if err != nil {
					root.key("envs").key(keyOf(v)).refuse("put it in quotes", "%v", err)
				}
				if ok {
					out[keyOf(v)] = strings.ReplaceAll(text, heldColon, ":")
				}
			}
		}
	}
	return out
}

func membersOf(n ast.Node) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	case *ast.AnchorNode:
		return membersOf(n.Value)
	}
	return nil
}

func keyOf(n *ast.MappingValueNode) string {
	return strings.ReplaceAll(n.Key.GetToken().Value, heldColon, ":")
}

// pythonText is a scalar as Python writes it; false where it is none.
func pythonText(n ast.Node) (string, bool, error) {
	if n == nil || n.GetToken() == nil {
		return "", false, nil
	}
	t := n.GetToken()
	switch n.Type() {
	case ast.BoolType, ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
	case ast.StringType:
		if t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType {
			return t.Value, true, nil
		}
	default:
		return "", false, nil
	}
	text, err := pythonScalar(t.Value)
	return text, err == nil, err
}

var (
	yamlInt   = regexp.MustCompile(`^[-+]?(0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$`)
	yamlFloat = regexp.MustCompile(`^[-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?)$`)
	// What Python makes of these nobody expects: 1:30 is 90, and times are objects.
	yamlOdd = regexp.MustCompile(`^([-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt]|[ \t]+)[0-9].*)$`)
)

func pythonScalar(raw string) (string, error) {
	switch {
	case slices.Contains([]string{"yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}, raw):
		return "True", nil
	case slices.Contains([]string{"no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}, raw):
		return "False", nil
	case yamlOdd.MatchString(raw):
		return "", fmt.Errorf("%s is read differently by every reader of YAML", raw)
	case yamlInt.MatchString(raw):
		digits := strings.ReplaceAll(raw, "_", "")
		n, ok := new(big.Int).SetString(strings.TrimPrefix(digits, "+"), 0)
		if !ok {
			return raw, nil
		}
		return n.String(), nil
	case yamlFloat.MatchString(raw):
		f, err := strconv.ParseFloat(strings.ReplaceAll(raw, "_", ""), 64)
		if err != nil {
			return "", fmt.Errorf("%s is no number of any size", raw)
		}
		return pythonFloat(f), nil
	}
	return raw, nil
}

// pythonFloat writes a number as Python's repr does.
func pythonFloat(f float64) string {
	text := strconv.FormatFloat(f, 'e', -1, 64)
	_, exponent, _ := strings.Cut(text, "e")
	if n, err := strconv.Atoi(exponent); err == nil && n >= -4 && n < 16 {
		text = strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(text, ".") {
			text += ".0"
		}
	}
	return text
}
