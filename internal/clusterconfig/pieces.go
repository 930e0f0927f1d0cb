// SPDX-License-Identifier: MPL-2.0

package clusterconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/skybroker/terraform-provider-sky/internal/localfile"
)

// The bounds of what a template may do. A template is a user's own file, and may
// still be broken.
const (
	// maxTemplate bounds a template or a piece in bytes.
	maxTemplate = 1 << 20
	// maxIncludes bounds the pieces of one rendering, maxWithin those within each
	// other.
	maxIncludes, maxWithin = 200, 10
	// maxIndent bounds the spaces before a line.
	maxIndent = 100
)

// includer finds the pieces that templates share: in the user's own folder,
// else among the embedded ones.
type includer struct {
	embedded fs.FS
	dir      string
}

// include stands for the function of that name until a template is rendered.
func (includer) include(string, any) (string, error) {
	return "", errors.New("include: nothing is rendered")
}

func (i includer) read(name string) ([]byte, error) {
	if i.dir != "" {
		text, err := localfile.Read(filepath.Join(i.dir, name), maxTemplate)
		if !errors.Is(err, fs.ErrNotExist) {
			return text, err //nolint:wrapcheck // it names the path
		}
	}
	if i.embedded == nil {
		return nil, fmt.Errorf("include %q: there is no such piece", name)
	}
	return fs.ReadFile(i.embedded, name)
}

// inclusion counts the pieces of one rendering: those that include themselves
// would go on for ever.
type inclusion struct {
	includer
	count, within int
}

// include returns a piece, filled in where its name ends in ".tmpl".
func (n *inclusion) include(name string, vars any) (string, error) {
	if name != filepath.Base(name) {
		return "", fmt.Errorf("include %q: a piece is named without a folder", name)
	}
	n.count++
	n.within++
	defer func() { n.within-- }()
	switch {
	case n.within > maxWithin:
		return "", fmt.Errorf("include %q: pieces are more than %d within each other; does one include itself?", name, maxWithin)
	case n.count > maxIncludes:
		return "", fmt.Errorf("include %q: more than %d pieces are included", name, maxIncludes)
	}
	text, err := n.read(name)
	if err != nil || !strings.HasSuffix(name, ".tmpl") {
		return string(text), err
	}
	piece, err := parse(name, string(text), n.includer)
	if err != nil {
		return "", err
	}
	return piece.fill(vars, n)
}

// fill executes a template with its pieces.
func (t *Template) fill(vars any, n *inclusion) (string, error) {
	tmpl, err := t.tmpl.Clone()
	if err != nil {
		return "", err //nolint:wrapcheck // the caller names the template
	}
	var b limitedBuffer
	err = tmpl.Funcs(template.FuncMap{"include": n.include}).Execute(&b, vars)
	return b.String(), err //nolint:wrapcheck // the caller names the template
}

// indent puts n spaces before every line that is not empty.
func indent(n int, text string) (string, error) {
	if n < 0 || n > maxIndent {
		return "", fmt.Errorf("indent %d: give a number of spaces from 0 to %d", n, maxIndent)
	}
	pad := strings.Repeat(" ", n)
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, l := range lines {
		if l != "" {
			lines[i] = pad + l
		}
	}
	return bounded(strings.Join(lines, "\n"))
}

// printf is the one of templates, for texts of bounded length.
func printf(format string, args ...any) (string, error) {
	return bounded(fmt.Sprintf(format, args...))
}

func bounded(text string) (string, error) {
	if len(text) > maxRendered {
		return "", errTooLong
	}
	return text, nil
}

var errTooLong = fmt.Errorf("renders to more than %d bytes", maxRendered)

// limitedBuffer refuses to grow beyond maxRendered.
type limitedBuffer struct{ bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxRendered {
		return 0, errTooLong
	}
	return b.Buffer.Write(p)
}
