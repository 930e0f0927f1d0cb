// SPDX-License-Identifier: MPL-2.0

package ignore

import "strings"

// glob is a compiled pattern. It matches bytes, as git does, in time that grows
// with the product of pattern and name, whatever the pattern.
type glob []token

type token struct {
	kind kind
	char byte
	set  *[256]bool
}

type kind byte

const (
	literal   kind = iota // one byte, char
	any1                  // one byte, no slash
	oneOf                 // one byte of set
	star                  // bytes without a slash
	deep                  // any bytes
	deepSlash             // nothing, or any bytes up to a slash
)

// compile reads a pattern. A malformed one matches nothing: it reports false.
func compile(p string, slashes bool) (glob, bool) {
	var g glob
	for i := 0; i < len(p); {
		switch c := p[i]; c {
		case '\\':
			if i+1 == len(p) {
				return nil, false
			}
			g, i = append(g, token{kind: literal, char: p[i+1]}), i+2
		case '?':
			g, i = append(g, token{kind: any1}), i+1
		case '*':
			t, next := stars(p, i, slashes)
			g, i = append(g, t), next
		case '[':
			set, next, ok := class(p, i+1)
			if !ok {
				return nil, false
			}
			g, i = append(g, token{kind: oneOf, set: set}), next
		default:
			g, i = append(g, token{kind: literal, char: c}), i+1
		}
	}
	return g, true
}

// stars reads a run of stars at p[i]. Two or more cross slashes only where they
// are a whole segment.
func stars(p string, i int, slashes bool) (token, int) {
	end := i
	for end < len(p) && p[end] == '*' {
		end++
	}
	rest := p[end:]
	switch {
	case end-i < 2 || !slashes || i > 0 && p[i-1] != '/':
		return token{kind: star}, end
	case strings.HasPrefix(rest, "/"):
		return token{kind: deepSlash}, end + 1
	case rest == "" || strings.HasPrefix(rest, `\/`):
		return token{kind: deep}, end
	}
	return token{kind: star}, end
}

func (t token) takes(c byte) bool {
	switch t.kind {
	case literal:
		return t.char == c
	case oneOf:
		return t.set[c]
	default:
		return c != '/'
	}
}

// match tries the shortest way through the last star first, then the last deep
// one: what matches after a later one would match after an earlier one as well.
func (g glob) match(s string) bool {
	t, i := 0, 0
	lastStar, starAt, lastDeep, deepAt := -1, 0, -1, 0
	for {
		if t == len(g) && i == len(s) {
			return true
		}
		if t < len(g) {
			switch k := g[t]; {
			case k.kind == star:
				lastStar, starAt, t = t, i, t+1
				continue
			case k.kind == deep || k.kind == deepSlash:
				lastDeep, deepAt, lastStar, t = t, i, -1, t+1
				continue
			case i < len(s) && k.takes(s[i]):
				t, i = t+1, i+1
				continue
			}
		}
		switch {
		case lastStar >= 0 && starAt < len(s) && s[starAt] != '/':
			starAt++
			t, i = lastStar+1, starAt
		case lastDeep >= 0 && deepAt < len(s):
			step := 1
			if g[lastDeep].kind == deepSlash {
				step = strings.IndexByte(s[deepAt:], '/') + 1
			}
			if step == 0 {
				return false
			}
			deepAt, lastStar = deepAt+step, -1
			t, i = lastDeep+1, deepAt
		default:
			return false
		}
	}
}

// class reads a bracket expression whose content begins at p[i]; it reports
// where it ends, or false where it does not.
func class(p string, i int) (set *[256]bool, next int, ok bool) {
	b := bracket{p: p, i: i, set: new([256]bool)}
	negated := i < len(p) && (p[i] == '!' || p[i] == '^')
	if negated {
		b.i++
	}
	for first := true; first || b.i < len(p) && p[b.i] != ']'; first = false {
		if !b.item() {
			return nil, 0, false
		}
	}
	if b.i >= len(p) {
		return nil, 0, false
	}
	if negated {
		for c := range b.set {
			b.set[c] = !b.set[c]
		}
	}
	b.set['/'] = false
	return b.set, b.i + 1, true
}

// bracket is a bracket expression as it is read.
type bracket struct {
	p    string
	i    int
	set  *[256]bool
	from byte // the last byte, where a range may begin with it
	open bool // it may
}

// item reads a byte, a range or a named class; false where the end is missing.
func (b *bracket) item() bool {
	switch rest := b.p[min(b.i, len(b.p)):]; {
	case rest == "":
		return false
	case rest[0] == '-' && b.open && len(rest) > 1 && rest[1] != ']':
		b.i++
		last, ok := b.byte()
		for c := int(b.from); ok && c <= int(last); c++ {
			b.set[c] = true
		}
		b.open = false
		return ok
	case strings.HasPrefix(rest, "[:"):
		end := strings.IndexByte(rest[2:], ']')
		if end < 0 {
			return false
		}
		if name, closed := strings.CutSuffix(rest[2:2+end], ":"); closed {
			b.i, b.open = b.i+2+end+1, false
			return named(b.set, name)
		}
	}
	c, ok := b.byte()
	b.set[c], b.from, b.open = true, c, true
	return ok
}

// byte reads one byte, after a backslash if there is one.
func (b *bracket) byte() (byte, bool) {
	if b.i < len(b.p) && b.p[b.i] == '\\' {
		b.i++
	}
	if b.i >= len(b.p) {
		return 0, false
	}
	b.i++
	return b.p[b.i-1], true
}

// named adds a class of characters such as [:digit:] to a set.
func named(set *[256]bool, name string) bool {
	var in func(c byte) bool
	between := func(c, first, last byte) bool { return c >= first && c <= last }
	space := func(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
	digit := func(c byte) bool { return between(c, '0', '9') }
	lower := func(c byte) bool { return between(c, 'a', 'z') }
	upper := func(c byte) bool { return between(c, 'A', 'Z') }
	alnum := func(c byte) bool { return digit(c) || lower(c) || upper(c) }
	switch name {
	case "alnum":
		in = alnum
	case "alpha":
		in = func(c byte) bool { return lower(c) || upper(c) }
	case "blank":
		in = func(c byte) bool { return c == ' ' || c == '\t' }
	case "cntrl":
		in = func(c byte) bool { return c < ' ' || c == 0x7f }
	case "digit":
		in = digit
	case "graph":
		in = func(c byte) bool { return between(c, '!', '~') }
	case "lower":
		in = lower
	case "print":
		in = func(c byte) bool { return between(c, ' ', '~') }
	case "punct":
		in = func(c byte) bool { return between(c, '!', '~') && !alnum(c) }
	case "space":
		in = space
	case "upper":
		in = upper
	case "xdigit":
		in = func(c byte) bool { return digit(c) || between(c, 'a', 'f') || between(c, 'A', 'F') }
	default:
		return false
	}
	for b := range set {
		set[b] = set[b] || in(byte(b))
	}
	return true
}
