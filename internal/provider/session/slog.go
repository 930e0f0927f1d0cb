// SPDX-License-Identifier: MPL-2.0

package session

import (
	"context"
	"log/slog"

	"github.com/hashicorp/terraform-plugin-log/tflog"
)

// tflogHandler forwards records of the other rooms to Terraform's log, where
// TF_LOG shows them. Without a Terraform context they go nowhere.
type tflogHandler struct {
	attrs  []slog.Attr
	prefix string
}

func newTflogLogger() *slog.Logger { return slog.New(tflogHandler{}) }

// Enabled implements slog.Handler; tflog filters by itself.
func (h tflogHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h tflogHandler) Handle(ctx context.Context, r slog.Record) error {
	fields := map[string]any{}
	for _, a := range h.attrs {
		addField(fields, "", a)
	}
	r.Attrs(func(a slog.Attr) bool {
		addField(fields, h.prefix, a)
		return true
	})
	switch {
	case r.Level >= slog.LevelError:
		tflog.Error(ctx, r.Message, fields)
	case r.Level >= slog.LevelWarn:
		tflog.Warn(ctx, r.Message, fields)
	case r.Level >= slog.LevelInfo:
		tflog.Info(ctx, r.Message, fields)
	case r.Level >= slog.LevelDebug:
		tflog.Debug(ctx, r.Message, fields)
	default:
		tflog.Trace(ctx, r.Message, fields)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h tflogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := tflogHandler{prefix: h.prefix, attrs: append([]slog.Attr(nil), h.attrs...)}
	for _, a := range attrs {
		a.Key = h.prefix + a.Key
		out.attrs = append(out.attrs, a)
	}
	return out
}

// WithGroup implements slog.Handler.
func (h tflogHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return tflogHandler{attrs: h.attrs, prefix: h.prefix + name + "."}
}

func addField(fields map[string]any, prefix string, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range value.Group() {
			addField(fields, prefix, member)
		}
		return
	}
	if a.Key == "" {
		return
	}
	if err, ok := value.Any().(error); ok {
		fields[prefix+a.Key] = err.Error()
		return
	}
	fields[prefix+a.Key] = value.Any()
}
