// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"reflect"
	"testing"
)

// TestNoClientBehindTheInterface follows the driver as reflection can, which is
// what the linker assumes of a type that becomes an interface: a client of the
// SDK anywhere on the way keeps all of its calls in the binary.
func TestNoClientBehindTheInterface(t *testing.T) {
	const most = 60 // methods; no type of the driver's own has as many
	seen := map[reflect.Type]bool{}
	var follow func(path string, typ reflect.Type)
	follow = func(path string, typ reflect.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		if n := typ.NumMethod(); n > most {
			t.Errorf("%s is a %s with %d methods, all of which stay in the binary", path, typ, n)
		}
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Chan:
			follow(path, typ.Elem())
			follow(path, reflect.PointerTo(typ.Elem()))
		case reflect.Map:
			follow(path+"[key]", typ.Key())
			follow(path+"[]", typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				follow(path+"."+typ.Field(i).Name, typ.Field(i).Type)
			}
		case reflect.Func:
			for i := range typ.NumIn() {
				follow(path+"(in)", typ.In(i))
			}
			for i := range typ.NumOut() {
				follow(path+"(out)", typ.Out(i))
			}
		default:
		}
	}
	follow("driver", reflect.TypeFor[*driver]())
	if len(seen) < 100 {
		t.Errorf("only %d types were followed", len(seen))
	}
}
