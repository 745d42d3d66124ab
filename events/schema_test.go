package events_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
)

var update = flag.Bool("update", false, "rewrite the generated part of docs/events.md, and add to testdata what is new")

// documented returns the example of a type that is in the page and in testdata.
func documented(info events.TypeInfo) *events.Event {
	id := func(of string) events.ID { return events.DeriveID("knell/example", []byte(of)) }
	e := &events.Event{
		ID: id("event of " + string(info.Type)), Time: time.Date(2026, 1, 1, 0, 0, 0, 123456000, time.UTC), Epoch: id("epoch"), Node: "n1",
		Data: info.Example,
	}
	family, _, _ := strings.Cut(string(info.Type), ".")
	switch family {
	case "log", "node":
		e.Actor, e.Subject = "system", "n1"
		return e
	case "session":
		e.Subject = id("example session").String()
	default:
		e.Subject = id("user").String()
	}
	e.Actor, e.Address, e.UserAgent, e.RequestID = id("user").String(), "192.0.2.7", "Mozilla/5.0 (X11; Linux x86_64)", id("request").String()
	if family == "revoked" {
		e.Actor, e.Reason = id("admin").String(), "left the company"
	}
	return e
}

// goldenFile returns where the examples of a schema level are.
func goldenFile(level int) string {
	return filepath.Join("testdata", fmt.Sprintf("level-%d.ndjson", level))
}

// TestSchema reads what builds of each schema level have written, as testdata keeps it, and writes it again: whoever removes,
// renames or retypes a member changes what comes out. What is new is added to testdata with -update; what is there stays. An
// incompatible change needs a type of another name.
func TestSchema(t *testing.T) {
	files, err := filepath.Glob("testdata/level-*.ndjson")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			checkKept(t, file, bytes.TrimSuffix(line, []byte("\n")))
		}
	}
	if t.Failed() {
		t.Fatal("this build would read old logs in another way, and its consumers would too: -update does not help")
	}
	var now bytes.Buffer
	for _, info := range events.Types() {
		now.Write(encode(t, documented(info)))
		now.WriteByte('\n')
	}
	kept, err := os.ReadFile(goldenFile(events.Level))
	if *update {
		err = os.WriteFile(goldenFile(events.Level), now.Bytes(), 0o644)
	} else if !bytes.Equal(kept, now.Bytes()) {
		t.Errorf("types or members are new that %s lacks: go test ./events -run TestSchema -update", goldenFile(events.Level))
	}
	if err != nil {
		t.Error(err)
	}
}

// checkKept fails the test unless this build has a line of an older one for the same event. A member that must be there and is not
// in the line is an error of Decode.
func checkKept(t *testing.T, file string, line []byte) {
	t.Helper()
	var e events.Event
	if err := events.Decode(line, &e); err != nil {
		t.Errorf("%s: %v in %s", file, err, line)
		return
	}
	if e.Data == nil {
		t.Errorf("%s: the type is not known any more of %s", file, line)
		return
	}
	before, now := members(t, line), members(t, encode(t, &e))
	for name, value := range before {
		if now[name] != value {
			t.Errorf("%s: %s: %s was %s and is %q", file, e.Data.Type(), name, value, now[name])
		}
	}
}

// members returns the members of an event and of its data, as they are written.
func members(t *testing.T, line []byte) map[string]string {
	t.Helper()
	all := map[string]string{}
	var envelope, data map[string]json.RawMessage
	if err := json.Unmarshal(line, &envelope); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(envelope["data"], &data); err != nil {
		t.Fatal(err)
	}
	delete(envelope, "data")
	for name, raw := range envelope {
		all[name] = string(raw)
	}
	for name, raw := range data {
		all["data."+name] = string(raw)
	}
	return all
}

func typeInfo(typ events.Type) (events.TypeInfo, bool) {
	for _, info := range events.Types() {
		if info.Type == typ {
			return info, true
		}
	}
	return events.TypeInfo{}, false
}

// TestSchemaGuards: the check of the schema finds what it is there for.
func TestSchemaGuards(t *testing.T) {
	info, _ := typeInfo(events.TypeSessionStarted)
	line := string(encode(t, documented(info)))
	for what, old := range map[string]string{
		"a member that was removed":  strings.Replace(line, `"user_seq"`, `"gone":1,"user_seq"`, 1),
		"one that was renamed":       strings.Replace(line, `"user_seq"`, `"user_sequence"`, 1),
		"an optional one, renamed":   strings.Replace(line, `"remember"`, `"remembered"`, 1),
		"one of another type":        strings.Replace(line, `"user_seq":17`, `"user_seq":"17"`, 1),
		"an attribute that was lost": strings.Replace(line, `"level"`, `"region":"eu","level"`, 1),
		"one that is required now":   strings.Replace(line, `"user_seq":17,`, "", 1),
		"a type that was lost":       strings.Replace(line, `session.started`, `session.begun`, 1),
	} {
		inner := &testing.T{}
		done := make(chan struct{})
		go func() { // a failed test ends its goroutine
			defer close(done)
			checkKept(inner, "old", []byte(old))
		}()
		if <-done; !inner.Failed() || old == line {
			t.Errorf("%s is not noticed", what)
		}
	}
}

// What Look finds is what Decode finds, for every type; and a text with notes is the event with attributes more.
func TestLook(t *testing.T) {
	for _, info := range events.Types() {
		e := documented(info)
		e.Actor = "svc \"quoted\" \u00e9"
		line := encode(t, e)
		var f events.Facts
		if err := events.Look(line, &f); err != nil {
			t.Fatal(err)
		}
		if string(f.Type) != string(info.Type) || string(f.Subject) != e.Subject || string(f.Actor) != e.Actor || !f.Time().Equal(e.Time) {
			t.Errorf("%s: %+v", info.Type, f)
		}
		data := members(t, line)
		for name, id := range map[string]events.ID{"user": f.User, "session": f.Session, "except": f.Except} {
			if want := strings.Trim(data["data."+name], `"`); want != "" && id.String() != want || want == "" && !id.IsZero() {
				t.Errorf("%s: %s is %v, want %s", info.Type, name, id, want)
			}
		}
		if want := strings.Trim(data["data.client"], `"`); string(f.Client) != want {
			t.Errorf("%s: client is %s, want %s", info.Type, f.Client, want)
		}
		if public := events.AccessTo(events.Subject(e)) == events.Public; f.Public() != public || slices.Contains(events.PublicTypes(), info.Type) != public {
			t.Errorf("%s: public is %v", info.Type, f.Public())
		}
		noted := append(events.AppendNotes(nil, &events.Notes{Seq: 1<<64 - 1, Void: "gone", UserName: "a\"\n", ActorName: "b\xff"}), line[1:]...)
		want := maps.Clone(data)
		maps.Copy(want, map[string]string{"sequence": `"18446744073709551615"`, "void": `"gone"`, "username": `"a\"\n"`})
		if got := members(t, noted); !maps.Equal(got, want) {
			t.Errorf("%s: with notes %s", info.Type, noted)
		}
	}
	for _, bad := range []string{"", "[]", `{"type":"knell."}`, `{"type":"other.x"}`, `{"type":1}`, `{"type":"knell.x"} x`, `{"type":"knell.x"`} {
		var f events.Facts
		if err := events.Look([]byte(bad), &f); err == nil || f.Type != nil {
			t.Errorf("%q: %v, %+v", bad, err, f)
		}
	}
	for in, want := range map[string]string{"": "", `{"a":"b c"}`: `{"a":"b c"}`, "\n\r\t {\r\n\"a\":1\n}": "{  \"a\":1 }"} {
		if got := string(events.OneLine([]byte(in))); got != want {
			t.Errorf("%q in one line: %q", in, got)
		}
	}
}
