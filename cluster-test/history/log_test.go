package history

import (
	"os"
	"strings"
	"testing"
)

const someLog = `{"seq":1,"id":"a","type":"knell.log.started"}
{"seq":3,"id":"b","type":"knell.session.started","event":{"id":"b","data":{"session":"s","user":"u"}}}
{"seq":4,"id":"c","type":"knell.session.refreshed","void":"changed","event":{"id":"c","data":{"session":"s","generation":2}}}
`

func TestReadLog(t *testing.T) {
	l, err := ReadLog(strings.NewReader(someLog+`{"end":{"seq":4,"digest":"d","applied_digest":"e","withheld":1}}`), 2)
	if err != nil {
		t.Fatal(err)
	}
	if l.Replica != 2 || l.Last != 4 || l.Digest != "d" || l.Applied != "e" || l.Withheld != 1 || len(l.Events) != 3 {
		t.Errorf("%+v", l)
	}
	if e := l.Events[1]; e.Seq != 3 || e.Type != "session.started" || e.Session != "s" || e.User != "u" || e.Void != "" || e.Sum == [16]byte{} {
		t.Errorf("%+v", e)
	}
	if e := l.Events[2]; e.Generation != 2 || e.Void != "changed" || e.Sum == l.Events[1].Sum {
		t.Errorf("%+v", e)
	}
	if l.Events[0].Sum != [16]byte{} {
		t.Error("an event that is not shown has a sum")
	}
}

func TestReadLogRefusesWhatIsNotOne(t *testing.T) {
	for _, in := range []string{
		someLog, "", "{", `{"seq":1,"id":"a","type":"other.thing"}`, `{"id":"a","type":"knell.x"}`, `{"seq":1,"type":"knell.x"}`,
		`{"seq":1,"id":"a","type":"knell.x","event":[]}`, `{"seq":-1}`,
	} {
		if _, err := ReadLog(strings.NewReader(in), 0); err == nil {
			t.Errorf("%q was read", in)
		}
	}
}

func TestReadLogs(t *testing.T) {
	dir := t.TempDir()
	if logs, err := ReadLogs(dir); len(logs) != 0 || err != nil {
		t.Errorf("an empty directory: %v, %v", logs, err)
	}
	for i := range 2 {
		if err := os.WriteFile(LogFile(dir, i), []byte(someLog+`{"end":{"seq":4}}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if logs, err := ReadLogs(dir); err != nil || len(logs) != 2 || logs[1].Replica != 1 || len(logs[1].Events) != 3 {
		t.Errorf("%v, %v", logs, err)
	}
	if err := os.WriteFile(LogFile(dir, 2), []byte(someLog), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLogs(dir); err == nil {
		t.Error("a file that was cut off was read")
	}
}

const somePage = `{"sequence":"00000000000000000002","specversion":"1.0","id":"x","type":"knell.session.started","data":{"session":"s","user":"u"}}
{"sequence":"00000000000000000003","void":"changed","id":"b","type":"knell.session.refreshed","data":{"session":"s","generation":1}}
`

// A log that was trimmed has what a reader of events got of it before.
func TestReadTrimmedLogs(t *testing.T) {
	dir := t.TempDir()
	for path, text := range map[string]string{
		LogFile(dir, 0): strings.Replace(someLog, `{"seq":1,"id":"a","type":"knell.log.started"}`+"\n", "", 1) + `{"end":{"seq":4,"after":2}}`,
		TrailFile(dir):  somePage,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	logs, err := ReadLogs(dir)
	if err != nil || len(logs) != 1 {
		t.Fatalf("%v, %v", logs, err)
	}
	l := logs[0]
	want := Event{Seq: 2, ID: "x", Type: "session.started", Session: "s", User: "u"}
	if l.After != 2 || len(l.Events) != 2 || len(l.Before) != 1 || l.Before[0] != want {
		t.Errorf("%+v", l)
	}
	for _, page := range []string{"{", `{"sequence":"x"}`, `{"id":"x"}`} {
		if events, err := ReadPage(strings.NewReader(page)); err == nil {
			t.Errorf("%q was read: %v", page, events)
		}
	}
	if err := os.WriteFile(TrailFile(dir), []byte("no event\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLogs(dir); err == nil {
		t.Error("a trail that is none was read")
	}
}
