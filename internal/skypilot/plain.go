// SPDX-License-Identifier: MPL-2.0

package skypilot

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/skybroker/terraform-provider-sky/internal/safeyaml"
)

// maxTask bounds a task's text in bytes; SkyPilot's largest test has 200,000 lines.
const maxTask = 16 << 20

// yamlObject reads an object.
func yamlObject(text, what string) (map[string]any, error) {
	if len(text) > maxTask {
		return nil, fmt.Errorf("%s has %d bytes; at most %d are read", what, len(text), maxTask)
	}
	var fields map[string]any
	if err := safeyaml.Unmarshal([]byte(text), &fields); err != nil {
		return nil, fmt.Errorf("%s is not a YAML object: %s", what, yamlText(err))
	}
	return releasedObject(fields), nil
}

// place is how the parser writes line and column.
var place = regexp.MustCompile(`\[([0-9]+):([0-9]+)\]`)

// yamlText is the parser's error with its place, in characters that can be seen.
func yamlText(err error) string {
	text := err.Error()
	if e := yaml.Error(nil); errors.As(err, &e) {
		text = e.GetMessage()
		if t := e.GetToken(); t != nil && t.Position != nil {
			text = fmt.Sprintf("line %d, column %d: %s", t.Position.Line, t.Position.Column, text)
		}
	}
	text = place.ReplaceAllString(strings.ReplaceAll(text, heldColon, ":"), "line $1, column $2")
	return visible(text)
}

// parsed is the YAML's tree, which knows lines and quotes.
func parsed(text string) (*ast.File, error) {
	file, err := parser.ParseBytes([]byte(text), 0)
	if err != nil {
		return nil, errors.New(yamlText(err))
	}
	return file, nil
}

// heldColon stands for a colon within a text until the YAML is parsed. It is a
// character for private use, so that no task holds it.
const heldColon = "\uE03A"

// plainText is a task's YAML for our parser, line by line and column by column
// the same. A byte order mark goes. In {A100:4, A100:8} Python's parser sees two
// texts, since no space follows the colons, and ours would see one key twice: so
// such colons are held back.
func plainText(text string) string {
	text = strings.TrimPrefix(text, "\ufeff")
	if len(text) > maxTask || !strings.ContainsRune(text, '{') {
		return text
	}
	var lines [][]rune
	depth := 0
	for _, t := range lexer.Tokenize(text) {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.MappingValueType:
			if depth == 0 || t.Prev == nil || t.Prev.Type != token.StringType {
				continue
			}
			if lines == nil {
				for _, line := range strings.Split(text, "\n") {
					lines = append(lines, []rune(line))
				}
			}
			hold(lines, t.Position)
		default: // says nothing about colons
		}
	}
	if lines == nil {
		return text
	}
	var b strings.Builder
	for i, line := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(string(line))
	}
	return b.String()
}

// hold replaces the colon at this place where a text goes on after it.
func hold(lines [][]rune, at *token.Position) {
	if at.Line > len(lines) {
		return
	}
	line, i := lines[at.Line-1], at.Column-1
	if i+1 < len(line) && line[i] == ':' && !strings.ContainsRune(" \t\r,[]{}", line[i+1]) {
		line[i] = []rune(heldColon)[0]
	}
}

// released are the texts of a parsed YAML with their colons.
func released(v any) any {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(v, heldColon, ":")
	case []any:
		for i := range v {
			v[i] = released(v[i])
		}
	case map[string]any:
		return releasedObject(v)
	}
	return v
}

func releasedObject(fields map[string]any) map[string]any {
	if fields == nil {
		return nil
	}
	out := map[string]any{}
	for k, e := range fields {
		out[strings.ReplaceAll(k, heldColon, ":")] = released(e)
	}
	return out
}
