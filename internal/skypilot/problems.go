// SPDX-License-Identifier: MPL-2.0

package skypilot

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

// Problem is one reason why a task cannot be used as it is.
type Problem struct {
	// Line is where in the YAML, from 1; 0 where no line is to blame.
	Line int
	// Field is its path, such as "resources: any_of[0]: use_spot"; empty for the whole.
	Field string
	// Means says what is wrong, and Write what to write instead, where that is known.
	Means, Write string
}

func (p Problem) String() string {
	text := p.Means
	if p.Field != "" {
		text = p.Field + ": " + text
	}
	if p.Line > 0 {
		text = fmt.Sprintf("line %d: %s", p.Line, text)
	}
	if p.Write != "" {
		text += "; " + p.Write
	}
	return text
}

// Problems are all that a task has, by line.
type Problems []Problem

func (p Problems) Error() string {
	if len(p) == 1 {
		return p[0].String()
	}
	var b strings.Builder
	more := ""
	if len(p) >= maxProblems {
		more = " or more"
	}
	fmt.Fprintf(&b, "it has %d problems%s:", len(p), more)
	for _, one := range p {
		b.WriteString("\n- " + one.String())
	}
	return b.String()
}

// maxProblems bounds what is collected; a file with more is of another kind.
const maxProblems = 50

// findings collect problems while a task is read.
type findings struct {
	list []Problem
	// file tells the lines; nil for none.
	file *ast.File
	// ignore are fields that are not read.
	ignore []string
}

// err are the problems found, nil for none.
func (f *findings) err() error {
	if len(f.list) == 0 {
		return nil
	}
	slices.SortStableFunc(f.list, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return Problems(f.list)
}

// add notes what leaves nothing of a document to read.
func (f *findings) add(err error) {
	var all Problems
	if !errors.As(err, &all) {
		all = Problems{{Means: err.Error()}}
	}
	f.list = append(f.list, all...)
	f.list = f.list[:min(len(f.list), maxProblems)]
}

// at is a place in the task that is read. A refusal there is collected, and
// reading goes on with the next field.
type at struct {
	found *findings
	path  []string
}

func (a at) key(name string) at { return at{a.found, append(slices.Clip(a.path), name)} }

func (a at) index(i int) at { return a.key(strconv.Itoa(i)) }

// refuse notes what is wrong here, and what to write instead.
func (a at) refuse(write, format string, args ...any) {
	if len(a.found.list) >= maxProblems {
		return
	}
	a.found.list = append(a.found.list, Problem{
		Line: lineOf(a.found.file, a.path), Field: visible(fieldText(a.path)),
		Means: visible(fmt.Sprintf(format, args...)), Write: visible(write),
	})
}

// fieldText is a path as it is written for people.
func fieldText(path []string) string {
	var b strings.Builder
	parent := ""
	for i, name := range path {
		_, err := strconv.Atoi(name)
		switch {
		case i == 0:
			b.WriteString(name)
		case parent == "file_mounts":
			fmt.Fprintf(&b, "[%q]", name)
		case err == nil && parent != "envs":
			fmt.Fprintf(&b, "[%s]", name)
		case slices.Contains([]string{"envs", "labels", "accelerators", "secrets", "autostop"}, parent):
			b.WriteString("." + name)
		default:
			b.WriteString(": " + name)
		}
		parent = name
	}
	return b.String()
}

// lineOf is the line of what a path names, or of the nearest that is around it.
func lineOf(file *ast.File, path []string) int {
	if file == nil || len(file.Docs) == 0 || len(path) == 0 {
		return 0
	}
	line, node := 0, file.Docs[0].Body
	for _, name := range path {
		next, at := child(node, name)
		if at == nil {
			return line
		}
		node, line = next, at.GetToken().Position.Line
	}
	return line
}

// child is the member of a node, and where it begins; nil where there is none.
func child(node ast.Node, name string) (member, begins ast.Node) {
	if anchor, ok := node.(*ast.AnchorNode); ok {
		node = anchor.Value
	}
	if list, ok := node.(*ast.SequenceNode); ok {
		if i, err := strconv.Atoi(name); err == nil && i < len(list.Values) {
			return list.Values[i], list.Values[i]
		}
	}
	for _, m := range membersOf(node) {
		if keyOf(m) == name {
			return m.Value, m.Key
		}
	}
	return nil, nil
}

// visible is a text whose characters can all be seen.
func visible(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}
