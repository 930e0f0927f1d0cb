// SPDX-License-Identifier: MPL-2.0

package skypilot

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Tasks are those of a YAML of several documents.
type Tasks struct {
	// Name is that of the pipeline or job group; empty for none.
	Name string
	// Parallel is true for a job group, whose tasks run side by side. The tasks of
	// a pipeline run one after the other.
	Parallel bool
	// List are the tasks in order. Where there are several, each has a name.
	List []Task
}

// maxDocuments bounds the documents of a YAML, and maxDocumentBytes all of them
// with the lines that stand for those before each.
const (
	maxDocuments     = 100
	maxDocumentBytes = 2 * maxTask
)

var (
	beginsDocument = regexp.MustCompile(`^---(\s|$)`)
	endsDocument   = regexp.MustCompile(`^\.\.\.(\s|$)`)
)

// documents are the parts of a YAML that hold something; one at least. The lines
// before a part stand in it as empty ones, so that all lines keep their numbers.
func documents(text string) ([]string, error) {
	if len(text) > maxTask {
		return []string{text}, nil // which is refused by its reader
	}
	lines, start, size := strings.SplitAfter(text, "\n"), 0, 0
	var out []string
	part := func(end int) error {
		holds := slices.ContainsFunc(lines[start:end], func(line string) bool {
			line = strings.TrimSpace(line)
			return line != "" && line[0] != '#' && line[0] != '%'
		})
		if holds {
			if len(out) == maxDocuments {
				return fmt.Errorf("the YAML has too many documents; at most %d are read", maxDocuments)
			}
			size += start
			for _, line := range lines[start:end] {
				size += len(line)
			}
			// Each repeats the lines before it, so their sum can be much more than the text.
			if size > maxDocumentBytes {
				return fmt.Errorf("the YAML has too many long documents; at most %d bytes are read, and each document counts with a byte for every line before it: give some in a file of their own", maxDocumentBytes)
			}
			out = append(out, strings.Repeat("\n", start)+strings.Join(lines[start:end], ""))
		}
		start = end
		return nil
	}
	for i, line := range lines {
		begins := beginsDocument.MatchString(line)
		if !begins && !endsDocument.MatchString(line) {
			continue
		}
		if err := part(i); err != nil {
			return nil, err
		}
		if lines[i] = "\n"; begins {
			lines[i] = "   " + line[3:]
		}
	}
	if err := part(len(lines)); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		out = []string{text}
	}
	return out, nil
}

// ParseTasks reads a YAML of one or more tasks: a pipeline or a job group with
// what is said of the whole in its first document, or documents that are tasks.
// Its error is as Parse's, for all tasks.
func ParseTasks(text string, g Given) (Tasks, error) {
	docs, err := documents(plainText(text))
	if err != nil {
		return Tasks{}, err
	}
	var out Tasks
	found := &findings{ignore: g.Ignore}
	if len(docs) > 1 {
		if out.head(found, docs[0]) {
			docs = docs[1:]
		}
	}
	if g.Name != "" {
		out.Name, g.Name = g.Name, ""
	}
	for _, doc := range docs {
		t, err := found.task(doc, g)
		out.List = append(out.List, t)
		if err != nil {
			found.add(err) // and what is wrong in the others is said, too
			continue
		}
		out.nameLast(at{found: found}, len(docs) > 1)
	}
	if err := found.err(); err != nil {
		return Tasks{}, err
	}
	return out, nil
}

// head takes what a first document says of the whole; false where it is a task, or
// no YAML, which the reader of tasks says.
func (t *Tasks) head(found *findings, doc string) bool {
	fields, err := yamlObject(doc, "the YAML")
	if err != nil {
		return false
	}
	known := groupFields()
	for name := range fields {
		if _, says := fields["execution"]; !says && name != "name" || !slices.Contains(known, name) {
			return false
		}
	}
	if found.file, err = parsed(doc); err != nil {
		return false
	}
	root := at{found: found}
	for _, name := range known {
		v, a := fields[name], root.key(name)
		switch {
		case v == nil || slices.Contains(found.ignore, name):
		case name == "name":
			if text := a.scalar(v); text != nil {
				t.Name = *text
			}
		case name == "execution" && (v == "serial" || v == "parallel"):
			t.Parallel = v == "parallel"
		case name == "execution":
			a.refuse("write serial or parallel", "must be serial or parallel")
		default:
			a.refuse("remove it, and let the jobs' own scripts wait for one another", "how the tasks of a group end and find one another cannot be carried")
		}
	}
	return true
}

// nameLast gives the last task the name that it has in SkyPilot. The tasks of a
// group need names of their own, by which they are told apart.
func (t *Tasks) nameLast(root at, several bool) {
	i := len(t.List) - 1
	last := &t.List[i]
	switch {
	case !several && t.Name != "":
		last.Name = &t.Name
	case several && last.Name == nil && t.Parallel:
		root.refuse("write a name in each", "a task of a group has no name")
	case several && last.Name == nil:
		base := t.Name
		if base == "" {
			base = "task"
		}
		name := fmt.Sprintf("%s-%d", base, i)
		last.Name = &name
	case t.Parallel && slices.ContainsFunc(t.List[:i], func(other Task) bool { return other.Name != nil && *other.Name == *last.Name }):
		root.key("name").refuse("write another name", "%q is the name of an earlier task, too", *last.Name)
	}
}
