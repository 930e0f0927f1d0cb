// SPDX-License-Identifier: MPL-2.0

package fakekit

import (
	"net/http"
	"slices"
	"time"
)

// Table holds things of one kind by id, in the order in which they were made.
// It is used under the kit's lock.
type Table[T any] struct {
	Kit *Kit

	rows []*row[T]
}

type row[T any] struct {
	id         string
	thing      *T
	born, gone time.Time
}

// Add puts a thing in place.
func (t *Table[T]) Add(id string, thing *T) {
	t.rows = append(t.rows, &row[T]{id: id, thing: thing, born: t.Kit.Now()})
}

// Get returns a thing, nil for one that is not there.
func (t *Table[T]) Get(id string) *T {
	for _, r := range t.rows {
		if r.id == id && r.gone.IsZero() {
			return r.thing
		}
	}
	return nil
}

// Find is Get that refuses.
func (t *Table[T]) Find(id string) (*T, error) {
	if thing := t.Get(id); thing != nil {
		return thing, nil
	}
	return nil, Refusef(http.StatusNotFound, "not_found", "there is no %q", id)
}

// Delete takes a thing away; it reports whether it was there.
func (t *Table[T]) Delete(id string) bool {
	for _, r := range t.rows {
		if r.id == id && r.gone.IsZero() {
			r.gone = t.Kit.Now()
			return true
		}
	}
	return false
}

// All are the things that are there.
func (t *Table[T]) All() []*T {
	return t.where(func(r *row[T]) bool { return r.gone.IsZero() })
}

// Listed are the things that a listing shows: not yet the new ones, and still
// those that are gone, as long as Options say.
func (t *Table[T]) Listed() []*T {
	return t.where(func(r *row[T]) bool {
		return t.Kit.Shown(r.born) && (r.gone.IsZero() || t.Kit.Now().Before(r.gone.Add(t.Kit.opts.GoneAfter)))
	})
}

func (t *Table[T]) where(f func(*row[T]) bool) []*T {
	out := []*T{} // an empty list is [] in JSON
	for _, r := range t.rows {
		if f(r) {
			out = append(out, r.thing)
		}
	}
	return slices.Clip(out)
}

// Shown reports whether listings show by now what was made then.
func (k *Kit) Shown(born time.Time) bool { return !k.Now().Before(born.Add(k.opts.VisibleAfter)) }

// Lag makes listings lag from now on, as Options.VisibleAfter does.
func (k *Kit) Lag(visibleAfter time.Duration) {
	k.Lock()
	defer k.Unlock()
	k.opts.VisibleAfter = visibleAfter
}
