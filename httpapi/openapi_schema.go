package httpapi

import (
	"reflect"
	"strings"
	"time"

	"github.com/knell-auth/knell/events"
)

// object is a JSON object of an OpenAPI document, or of a JSON Schema in it.
type object map[string]any

// schemaOf returns the JSON Schema (2020-12) of what encoding/json writes for a value of type t. A member has the description
// that its field's tag "doc" says, and is required unless it is left out when empty.
func schemaOf(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[events.ID]():
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Interface:
		return object{} // anything
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Slice:
		return object{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Struct:
		return schemaOfStruct(t)
	}
	panic("httpapi: no schema for " + t.String())
}

func schemaOfStruct(t reflect.Type) object {
	properties, required := object{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		s := schemaOf(f.Type)
		if doc := f.Tag.Get("doc"); doc != "" {
			s["description"] = doc
		}
		properties[name] = s
		if strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero") {
			continue
		}
		required = append(required, name)
		if f.Type.Kind() == reflect.Pointer {
			s["type"] = []any{s["type"], "null"}
		}
	}
	s := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// schema returns the schema of a body. Nothing else may be in a JSON object; parameters of a form that nobody knows are ignored
// (RFC 6749 section 3.2).
func (b *requestBody) schema() object {
	s := schemaOfFields(b.fields)
	if b.media == mediaJSON {
		s["additionalProperties"] = false
	}
	return s
}

func schemaOfFields(fields []field) object {
	properties, required := object{}, []string{}
	for _, f := range fields {
		s := schemaOf(reflect.TypeOf(f.value))
		if f.text != "" {
			s["description"] = f.text
		}
		properties[f.name] = s
		if f.required {
			required = append(required, f.name)
		}
	}
	s := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}
