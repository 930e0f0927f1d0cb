// SPDX-License-Identifier: MPL-2.0

// Package safeyaml reads YAML that somebody else wrote. The parser recurses, and
// its time grows with the square of what it reads: so what is nested too deep or
// has too many parts is refused before it is parsed, and aliases that stand for
// more than anybody would write out before they are used.
package safeyaml

import (
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// The bounds. A text within a YAML counts as one part, however long it is.
const (
	maxDepth    = 100
	maxTokens   = 20_000
	maxExpanded = 20_000
)

// Unmarshal decodes YAML as yaml.UnmarshalWithOptions does, within the bounds.
// Its own errors quote nothing of the text.
func Unmarshal(text []byte, v any, opts ...yaml.DecodeOption) error {
	tokens := lexer.Tokenize(string(text))
	if len(tokens) > maxTokens {
		return fmt.Errorf("it has more than %d parts", maxTokens)
	}
	if err := checkDepth(tokens); err != nil {
		return err
	}
	if err := checkAliases(text, tokens); err != nil {
		return err
	}
	return yaml.UnmarshalWithOptions(text, v, opts...) //nolint:wrapcheck // the caller knows what it is of
}

// checkDepth bounds the nesting: brackets, columns, and entries that open others
// on one line.
func checkDepth(tokens token.Tokens) error {
	var columns []int
	brackets, entries, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, entries = t.Position.Line, 0
			if brackets == 0 {
				columns = enclosing(columns, t.Position.Column)
			}
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets = max(brackets-1, 0)
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			entries++
		default: // opens nothing
		}
		if len(columns)+brackets+entries > maxDepth {
			return fmt.Errorf("line %d is nested more than %d deep", line, maxDepth)
		}
	}
	return nil
}

// enclosing drops the columns that a line at column ends, and adds it.
func enclosing(columns []int, column int) []int {
	for len(columns) > 0 && columns[len(columns)-1] >= column {
		columns = columns[:len(columns)-1]
	}
	return append(columns, column)
}

// checkAliases bounds what the text stands for when each alias is replaced by
// what it names.
func checkAliases(text []byte, tokens token.Tokens) error {
	aliased := false
	for _, t := range tokens {
		aliased = aliased || t.Type == token.AliasType
	}
	if !aliased {
		return nil
	}
	var plain any
	if err := yaml.Unmarshal(text, &plain); err != nil {
		return nil //nolint:nilerr // the caller's own decoding says it better
	}
	if left := count(plain, maxExpanded); left < 0 {
		return fmt.Errorf("its aliases (*name) stand for more than %d parts", maxExpanded)
	}
	return nil
}

// count takes the parts of v from left, and stops where none are left.
func count(v any, left int) int {
	left--
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			if left = count(e, left); left < 0 {
				return left
			}
		}
	case []any:
		for _, e := range v {
			if left = count(e, left); left < 0 {
				return left
			}
		}
	}
	return left
}
