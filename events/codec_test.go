package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/knell-auth/knell/events"
)

// example returns an event that has every member of the envelope.
func example(p events.Payload) *events.Event {
	return &events.Event{
		ID: events.DeriveID("test", []byte("event")), Time: time.Date(2026, 1, 2, 3, 4, 5, 678900000, time.UTC),
		Subject: "session/1", Epoch: events.DeriveID("test", []byte("epoch")), Node: "n1", Actor: "system", Address: "192.0.2.7",
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", RequestID: "req-1",
		Network: events.DeriveID("test", []byte("network")), Reason: `asked "politely"`, Data: p,
	}
}

func encode(t testing.TB, e *events.Event) []byte {
	t.Helper()
	b, err := events.Encode(nil, e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wire returns what encoding/json should find in e as written: the golden form of the format, made by reflection from the
// names of the fields.
func wire(e *events.Event) map[string]any {
	m := map[string]any{
		"specversion": "1.0", "id": e.ID.String(), "source": "/knell/" + e.Node, "type": "knell." + string(e.Data.Type()),
		"time": e.Time.Format(time.RFC3339Nano), "datacontenttype": "application/json", "level": json.Number(fmt.Sprint(events.LevelOf(e.Data))),
		"data": wireValue(reflect.ValueOf(e.Data).Elem()),
	}
	for name, v := range map[string]string{"subject": e.Subject, "actor": e.Actor, "clientaddress": e.Address,
		"useragent": e.UserAgent, "requestid": e.RequestID, "reason": e.Reason} {
		if v != "" {
			m[name] = v
		}
	}
	for name, id := range map[string]events.ID{"epoch": e.Epoch, "network": e.Network} {
		if !id.IsZero() {
			m[name] = id.String()
		}
	}
	return m
}

// wireValue turns field names like UserSeq into user_seq, and LeaseMillis into lease_ms.
func wireValue(v reflect.Value) any {
	if id, ok := v.Interface().(events.ID); ok {
		return id.String()
	}
	switch v.Kind() {
	case reflect.Struct:
		m := map[string]any{}
		for i := range v.NumField() {
			var name strings.Builder
			for j, r := range v.Type().Field(i).Name {
				if r < 'a' && j > 0 {
					name.WriteByte('_')
				}
				name.WriteString(strings.ToLower(string(r)))
			}
			m[strings.Replace(name.String(), "_millis", "_ms", 1)] = wireValue(v.Field(i))
		}
		return m
	case reflect.Slice:
		if b, ok := v.Interface().([]byte); ok {
			raw, _ := json.Marshal(b)
			return strings.Trim(string(raw), `"`)
		}
		list := make([]any, v.Len())
		for i := range list {
			list[i] = wireValue(v.Index(i))
		}
		return list
	case reflect.String, reflect.Bool:
		return v.Interface()
	default:
		return json.Number(fmt.Sprint(v.Interface()))
	}
}

// Every type is written as encoding/json would read it, and is read back as it was.
func TestTypesOnTheWire(t *testing.T) {
	for _, info := range events.Types() {
		t.Run(string(info.Type), func(t *testing.T) {
			e := example(info.Example)
			raw := encode(t, e)
			var got map[string]any
			d := json.NewDecoder(bytes.NewReader(raw))
			d.UseNumber()
			if err := d.Decode(&got); err != nil {
				t.Fatalf("%v in %s", err, raw)
			}
			if want := wire(e); !reflect.DeepEqual(got, want) {
				t.Errorf("encoding/json reads\n %v, want\n %v", got, want)
			}
			var back events.Event
			if err := events.Decode(raw, &back); err != nil {
				t.Fatalf("%v: %s", err, raw)
			}
			if !reflect.DeepEqual(&back, e) {
				t.Errorf("read back\n %+v, want\n %+v", back, *e)
			}
			// Another layout of the same members: sorted by name, with white space.
			loose, _ := json.MarshalIndent(got, " ", "\t")
			if err := events.Decode(loose, &back); err != nil || !reflect.DeepEqual(&back, e) {
				t.Errorf("in another layout: %+v, %v", back, err)
			}
		})
	}
}

// A payload with only zero values is written and read as well: what may be left out may be missing.
func TestZeroPayloads(t *testing.T) {
	for _, info := range events.Types() {
		e := &events.Event{ID: events.NewID(), Node: "n", Data: reflect.New(reflect.TypeOf(info.Example).Elem()).Interface().(events.Payload)}
		raw := encode(t, e)
		var back events.Event
		if err := events.Decode(raw, &back); err != nil || !reflect.DeepEqual(&back, e) {
			t.Errorf("%s: %v, %+v from %s", info.Type, err, back, raw)
		}
		if !json.Valid(raw) {
			t.Errorf("%s: not JSON", raw)
		}
	}
}

func TestNumbersAtTheirLimits(t *testing.T) {
	for _, p := range []events.Payload{
		&events.SessionRefreshed{Generation: math.MaxUint32, IssuedAt: math.MinInt64, AccessExpires: math.MaxInt64, SessionSeq: math.MaxUint64},
		&events.SessionRefreshed{IssuedAt: -1},
	} {
		var back events.Event
		if err := events.Decode(encode(t, example(p)), &back); err != nil || !reflect.DeepEqual(back.Data, p) {
			t.Errorf("%+v, %v", back.Data, err)
		}
	}
}

func TestClientTextIsCleaned(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "curl/8", "curl/8"},
		{"controls", "a\r\nb\x00c\x7fd\u0085e\x1b[31m", "a\ufffd\ufffdb\ufffdc\ufffdd\ufffde\ufffd[31m"},
		{"not utf-8", "a\xff\xfeb\xe2\x82", "a\ufffd\ufffdb\ufffd\ufffd"},
		{"quotes", `"\`, `"\`},
		{"cut", strings.Repeat("x", 300), strings.Repeat("x", 256)},
		{"cut before a rune that has no room", strings.Repeat("x", 255) + "é", strings.Repeat("x", 255)},
		{"cut after a rune", strings.Repeat("x", 254) + "ééé", strings.Repeat("x", 254) + "é"},
		{"line separators stay", "a\u2028b", "a\u2028b"},
	} {
		e := example(&events.AllRevoked{})
		e.UserAgent, e.RequestID, e.Reason, e.Address = c.in, c.in, c.in, c.in
		var back events.Event
		if err := events.Decode(encode(t, e), &back); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if back.UserAgent != c.want || back.Reason != c.want {
			t.Errorf("%s: %q, want %q", c.name, back.UserAgent, c.want)
		}
		for _, s := range []string{back.RequestID, back.Address} {
			if len(s) > 64 || !utf8.ValidString(s) || !strings.HasPrefix(c.want, s) {
				t.Errorf("%s: short text %q", c.name, s)
			}
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	change := func(f func(e *events.Event)) *events.Event {
		e := example(&events.SessionStarted{Scope: []string{"a"}})
		f(e)
		return e
	}
	for name, e := range map[string]*events.Event{
		"no data":       change(func(e *events.Event) { e.Data = nil }),
		"no id":         change(func(e *events.Event) { e.ID = events.ID{} }),
		"node":          change(func(e *events.Event) { e.Node = "a.b" }),
		"long node":     change(func(e *events.Event) { e.Node = strings.Repeat("a", 33) }),
		"no node":       change(func(e *events.Event) { e.Node = "" }),
		"year":          change(func(e *events.Event) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }),
		"actor":         change(func(e *events.Event) { e.Actor = "\xff" }),
		"payload":       change(func(e *events.Event) { e.Data = &events.SigningKeyRevoked{Key: "\xff"} }),
		"too large":     change(func(e *events.Event) { e.Data = &events.SigningKeyRevoked{Key: strings.Repeat("k", events.MaxEvent)} }),
		"list too long": change(func(e *events.Event) { e.Data = &events.NodeBeat{Pings: make([]events.Ping, 1000)} }),
	} {
		before := []byte("before")
		if b, err := events.Encode(before, e); !errors.Is(err, events.ErrInvalid) || string(b) != "before" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	e := change(func(e *events.Event) {})
	if b, err := events.Encode([]byte("before"), e); err != nil || !bytes.Equal(b, append([]byte("before"), encode(t, e)...)) {
		t.Errorf("does not append: %v", err)
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 4096)
	for _, info := range events.Types() {
		e := example(info.Example)
		if n := testing.AllocsPerRun(100, func() { buf, _ = events.Encode(buf[:0], e) }); n > 0 {
			t.Errorf("%s: %v allocations", info.Type, n)
		}
	}
}
