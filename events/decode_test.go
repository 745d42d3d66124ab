package events_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/knell-auth/knell/events"
)

// revocation is an event without anything that may be left out; tests change one thing in it.
const revocation = `{"specversion":"1.0","id":"abcdefghijklmnopqrstuvwxya","source":"/knell/n1","type":"knell.revoked.session",` +
	`"time":"2026-01-02T03:04:05Z","level":1,"data":{"session":"bbbbbbbbbbbbbbbbbbbbbbbbba"}}`

// refusals say what is put in place of what in revocation, and which error it is.
func refusals() []struct{ name, old, new, why string } {
	return []struct{ name, old, new, why string }{
		{"empty", revocation, "", "not an object"},
		{"array", revocation, "[]", "not an object"},
		{"cut off", `a"}}`, `a`, "cut off"},
		{"text after it", `"}}`, `"}} x`, "text after"},
		{"second event", `"}}`, `"}}{}`, "text after"},
		{"NUL", `"}}`, "\"}}\x00", "text after"},
		{"trailing comma", `"}}`, `"},}`, "no string"},
		{"no comma", `"1.0",`, `"1.0"`, "no comma"},
		{"no colon", `"id":`, `"id"`, "no colon"},
		{"duplicate", `"level":1`, `"level":1,"level":1`, "duplicate member level"},
		{"duplicate of another type", `"level":1`, `"level":1,"id":7`, "duplicate member id"},
		{"duplicate in data", `{"session":`, `{"session":"x","session":`, "duplicate member session"},
		{"duplicate by escapes", `"level":1`, `"level":1,"\u0069d":"x"`, "escapes"},
		{"bad UTF-8", "n1", "n\xff", "invalid UTF-8"},
		{"bad UTF-8 in an unknown member", `"level":1`, "\"level\":1,\"x\":{\"y\":\"\xc3\"}", "invalid UTF-8"},
		{"raw newline", "n1", "n\n1", "control character"},
		{"bad escape", "n1", `n\x`, "bad escape"},
		{"half a surrogate pair", `"level":1`, `"level":1,"actor":"\ud800"`, "surrogate"},
		{"two high surrogates", `"level":1`, `"level":1,"actor":"\ud800\ud800"`, "surrogate"},
		{"low surrogate first", `"level":1`, `"level":1,"actor":"\udc00\ud800"`, "surrogate"},
		{"specversion", `"1.0"`, `"0.3"`, "specversion"},
		{"specversion missing", `"specversion":"1.0",`, ``, "specversion: missing"},
		{"id missing", `"id":"abcdefghijklmnopqrstuvwxya",`, ``, "id: missing"},
		{"id short", `"abcdefghijklmnopqrstuvwxya"`, `"abc"`, "id: not an id"},
		{"id not canonical", `wxya"`, `wxyb"`, "id: not an id"},
		{"id in capitals", `"abcdefg`, `"ABCDEFG`, "id: not an id"},
		{"id a number", `"abcdefghijklmnopqrstuvwxya"`, `7`, "id: not an id"},
		{"id zero", `"abcdefghijklmnopqrstuvwxya"`, `"aaaaaaaaaaaaaaaaaaaaaaaaaa"`, "id: zero"},
		{"source missing", `"source":"/knell/n1",`, ``, "source: missing"},
		{"source of others", `/knell/`, `/other/`, "source"},
		{"source without a node", `/knell/n1`, `/knell/`, "source"},
		{"source with a wildcard", `/knell/n1`, `/knell/*`, "source"},
		{"type missing", `"type":"knell.revoked.session",`, ``, "type: missing"},
		{"type of others", `knell.revoked`, `other.revoked`, "type"},
		{"type empty", `knell.revoked.session`, `knell.`, "type"},
		{"time missing", `"time":"2026-01-02T03:04:05Z",`, ``, "time: missing"},
		{"time elsewhere", `05Z`, `05+01:00`, "time"},
		{"time impossible", `-01-02T`, `-13-02T`, "time"},
		{"time a number", `"2026-01-02T03:04:05Z"`, `1767323045`, "time"},
		{"level missing", `"level":1,`, ``, "level: missing"},
		{"level zero", `"level":1`, `"level":0`, "level: zero"},
		{"level text", `"level":1`, `"level":"1"`, "level: not an integer"},
		{"level negative", `"level":1`, `"level":-1`, "level: not an integer"},
		{"level fraction", `"level":1`, `"level":1.0`, "level: not an integer"},
		{"level exponent", `"level":1`, `"level":1e0`, "level: not an integer"},
		{"level huge", `"level":1`, `"level":18446744073709551616`, "level: number out of range"},
		{"number with zeros", `"level":1`, `"level":01`, "no comma"},
		{"number without digits", `"level":1`, `"level":-`, "bad number"},
		{"number without fraction", `"level":1`, `"level":1.`, "bad number"},
		{"number without exponent", `"level":1`, `"level":1e+`, "bad number"},
		{"word", `"level":1`, `"level":1,"x":nul`, "no value"},
		{"optional text", `"level":1`, `"level":1,"optional":"true"`, "optional"},
		{"actor null", `"level":1`, `"level":1,"actor":null`, "actor: not a string"},
		{"epoch empty", `"level":1`, `"level":1,"epoch":""`, "epoch"},
		{"content type", `"level":1`, `"level":1,"datacontenttype":"text/xml"`, "datacontenttype"},
		{"data missing", `,"data":{"session":"bbbbbbbbbbbbbbbbbbbbbbbbba"}`, ``, "data"},
		{"data a list", `{"session":"bbbbbbbbbbbbbbbbbbbbbbbbba"}`, `[]`, "data"},
		{"data null", `{"session":"bbbbbbbbbbbbbbbbbbbbbbbbba"}`, `null`, "data"},
		{"session missing", `{"session":"bbbbbbbbbbbbbbbbbbbbbbbbba"}`, `{}`, "session: missing"},
		{"too deep", `"level":1`, `"level":1,"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000), "nested too deeply"},
		{"too many members", `"level":1`, `"level":1` + manyMembers(60), "too many members"},
		{"too large", `"level":1`, `"level":1,"x":"` + strings.Repeat("x", events.MaxEvent) + `"`, "bytes"},
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range refusals() {
		text := strings.Replace(revocation, c.old, c.new, 1)
		e := events.Event{Node: "left over"}
		err := events.Decode([]byte(text), &e)
		if !errors.Is(err, events.ErrMalformed) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %q", c.name, err, c.why)
		}
		if !reflect.DeepEqual(e, events.Event{}) {
			t.Errorf("%s: left %+v", c.name, e)
		}
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"x` + strings.Repeat("x", i) + `":1`)
	}
	return b.String()
}

func TestDecodeRefusesLists(t *testing.T) {
	start := func(scope, issued string) string {
		return strings.NewReplacer("revoked.session", "session.client_token", `"}}`, `","client":"c","scope":`+scope+`,"issued_at":`+issued+
			`,"access_expires":1,"client_seq":1}}`).Replace(revocation)
	}
	beat := func(pings string) string {
		return strings.NewReplacer("revoked.session", "node.beat", `"session":"bbbbbbbbbbbbbbbbbbbbbbbbba"`, `"pings":`+pings).Replace(revocation)
	}
	const ping = `{"node":"n1","incarnation":"bbbbbbbbbbbbbbbbbbbbbbbbba","counter":1,"applied":1,"digest":"bbbbbbbbbbbbbbbbbbbbbbbbba","level":1}`
	for _, c := range []struct{ text, why string }{
		{start(`["a","b"]`, "-5"), ""},
		{start(`[ ]`, "0"), ""},
		{start(`"a"`, "0"), "scope: not an array"},
		{start(`["a",1]`, "0"), "scope: not a string"},
		{start(`[null]`, "0"), "scope: not a string"},
		{start(`["a",]`, "0"), "no value"},
		{start(`[]`, "-9223372036854775808"), ""},
		{start(`[]`, "-9223372036854775809"), "issued_at: number out of range"},
		{start(`[]`, "9223372036854775808"), "issued_at: number out of range"},
		{start(`[]`, "true"), "issued_at: not an integer"},
		{beat(`[]`), ""},
		{beat(`[` + ping + ` , ` + ping + `]`), ""},
		{beat(`[` + ping + `,{}]`), "node: missing"},
		{beat(`[` + strings.Replace(ping, `"level":1`, `"level":4294967296`, 1) + `]`), "level: number out of range"},
		{beat(`[` + strings.Replace(ping, `"level":1`, `"level":1,"level":1`, 1) + `]`), "duplicate"},
		{beat(`[1]`), "pings: not an object"},
	} {
		var e events.Event
		err := events.Decode([]byte(c.text), &e)
		if c.why == "" && err != nil || c.why != "" && (!errors.Is(err, events.ErrMalformed) || !strings.Contains(err.Error(), c.why)) {
			t.Errorf("%s: %v, want %q", c.text, err, c.why)
		}
	}
}

func TestDecodeIgnoresUnknownMembers(t *testing.T) {
	text := strings.NewReplacer(`"level":1`, `"level":1,"sampledrate":3,"x":{"id":[1.5e-3,{"id":null}],"y":"\ud83d\ude00\ud800"}`,
		`{"session"`, ` { "other" : [ ] , "session"`).Replace(revocation)
	var e, want events.Event
	if err := events.Decode([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	if err := events.Decode([]byte(revocation), &want); err != nil || !reflect.DeepEqual(e, want) {
		t.Errorf("%+v, want %+v, %v", e, want, err)
	}
}

func TestEscapesAreRead(t *testing.T) {
	text := strings.Replace(revocation, `"level":1`, `"level":1,"actor":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é"`, 1)
	var e events.Event
	if err := events.Decode([]byte(text), &e); err != nil || e.Actor != "\"\\/\b\f\n\r\té😀é" {
		t.Errorf("%q, %v", e.Actor, err)
	}
}

func TestNewerEvents(t *testing.T) {
	unknown := strings.Replace(revocation, "revoked.session", "revoked.planet", 1)
	higher := strings.Replace(revocation, `"level":1`, `"level":3`, 1)
	for _, text := range []string{unknown, higher} {
		var e events.Event
		if err := events.Decode([]byte(text), &e); !errors.Is(err, events.ErrNewer) || errors.Is(err, events.ErrMalformed) {
			t.Errorf("%s: %v", text, err)
		}
		text = strings.Replace(text, `"level":`, `"optional":true,"level":`, 1)
		if err := events.Decode([]byte(text), &e); err != nil || e.Data != nil || e.Node != "n1" || e.ID.IsZero() {
			t.Errorf("%s: %+v, %v", text, e, err)
		}
		text = strings.Replace(text, `"optional":true`, `"optional":false`, 1)
		if err := events.Decode([]byte(text), &e); !errors.Is(err, events.ErrNewer) {
			t.Errorf("%s: %v", text, err)
		}
	}
	var e events.Event
	text := strings.Replace(revocation, `"level":1`, `"level":1,"optional":true`, 1)
	if err := events.Decode([]byte(text), &e); err != nil || e.Data == nil {
		t.Errorf("known and optional: %+v, %v", e, err)
	}
}

// Whatever decodes is written again, and then no more than once differently: the second text is final.
func FuzzDecode(f *testing.F) {
	for _, info := range events.Types() {
		f.Add(encode(f, example(info.Example)))
	}
	f.Add([]byte(revocation))
	f.Add([]byte(strings.Replace(revocation, `"level":1`, `"optional":true,"level":3,"useragent":"\ud83d\ude00\u0000"`, 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		var e, again events.Event
		if err := events.Decode(data, &e); err != nil {
			if !errors.Is(err, events.ErrMalformed) && !errors.Is(err, events.ErrNewer) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		if e.Data == nil {
			return // optional and newer
		}
		text, err := events.Encode(nil, &e)
		if errors.Is(err, events.ErrInvalid) && len(data) > events.MaxEvent/8 {
			return // escapes that this build writes longer
		}
		if err != nil {
			t.Fatalf("decoded but not encoded: %v", err)
		}
		if err := events.Decode(text, &again); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if !reflect.DeepEqual(e, again) {
			t.Fatalf("%+v became %+v", e, again)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	raw := encode(b, example(events.Types()[1].Example))
	var e events.Event
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if err := events.Decode(raw, &e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e := example(events.Types()[1].Example)
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := events.Encode(buf, e); err != nil {
			b.Fatal(err)
		}
	}
}
