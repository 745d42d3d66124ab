package export

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

const epoch = "ttdawehsysnhzym4m4ndbjts6q"

// named is an attribute that some events have.
func named(seq int) string {
	if seq%3 == 0 || seq%64 < 2 {
		return ""
	}
	return `"username":"alice",`
}

// events returns lines with the sequences from first to last.
func events(first, last int) (list [][]byte) {
	for seq := first; seq <= last; seq++ {
		e := fmt.Sprintf(`{"sequence":"%020d",`+named(seq)+`"specversion":"1.0","id":"id%d","source":"/knell/n1","type":"knell.session.started",`+
			`"time":"2026-01-01T00:00:00.%06dZ","subject":"s","datacontenttype":"application/json","level":1,"epoch":"%s","data":{"n":%d}}`, seq, seq, seq, epoch, seq)
		list = append(list, []byte(e))
	}
	return list
}

func plan() (Plan, error) { return Plan{Epoch: epoch, After: 10, UpTo: 99}, nil }

func mustOpen(t *testing.T, path string, format Format) *File {
	t.Helper()
	f, err := Open(path, format, "type=x", plan)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// crash leaves the file as a process does that is killed while it writes: whatever has been written is there, also half an event.
func crash(t *testing.T, f *File, rest string) {
	t.Helper()
	if _, err := f.part.WriteString(rest); err != nil {
		t.Fatal(err)
	}
	f.part.Close()
}

// TestResume: whatever a crash leaves behind the last whole event is cut off, and the file goes on there. It gets its name when it is whole.
func TestResume(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	at := 10
	for _, rest := range []string{"", `{"sequence":"0000`, string(events(14, 14)[0]), "\x00\x00\x00\x00\n", strings.Repeat("\x00", 5000), "\n", "{}\n", string(events(11, 11)[0]) + "\n"} {
		f := mustOpen(t, path, NDJSON)
		if f.At() != uint64(at) || f.Events() != int64(at-10) {
			t.Fatalf("goes on behind %d with %d events, want %d", f.At(), f.Events(), at)
		}
		if err := f.Append(events(at+1, at+3)); err != nil {
			t.Fatal(err)
		}
		at += 3
		crash(t, f, rest)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal("half a file has the name of the whole one")
		}
	}
	f := mustOpen(t, path, NDJSON)
	if err := f.Finish(nil); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if want := append(bytes.Join(events(11, at), []byte("\n")), '\n'); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v: got %d bytes, want %d", err, len(got), len(want))
	}
	left, _ := os.ReadDir(filepath.Dir(path))
	if len(left) != 1 {
		t.Errorf("files are left: %v", left)
	}
	if _, err := Open(path, NDJSON, "type=x", plan); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a whole file is written again: %v", err)
	}
}

// TestResumeSealed: leaves of events that nobody may read do not say of which log they are, and are kept as well.
func TestResumeSealed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	f := mustOpen(t, path, NDJSON)
	sealed := func(seq int) []byte { return fmt.Appendf(nil, `{"sequence":"%020d","sealed":"%064x"}`, seq, seq) }
	if err := f.Append(append([][]byte{sealed(11)}, events(12, 14)...)); err != nil {
		t.Fatal(err)
	}
	if err := f.Append([][]byte{sealed(15), sealed(16)}); err != nil {
		t.Fatal(err)
	}
	crash(t, f, "{")
	if f = mustOpen(t, path, NDJSON); f.At() != 16 || f.Events() != 6 {
		t.Errorf("goes on behind %d with %d events, want 16 with 6", f.At(), f.Events())
	}
	f.Close()
}

// TestPlanGoesFirst: a whole file never has a plan beside it, which the next export to the same name would take for its own.
func TestPlanGoesFirst(t *testing.T) {
	for _, format := range []Format{NDJSON, Parquet} {
		path := filepath.Join(t.TempDir(), "audit")
		f := mustOpen(t, path, format)
		if err := errors.Join(f.Append(events(11, 12)), os.Remove(path+".plan"), os.MkdirAll(path+".plan/x", 0o700)); err != nil {
			t.Fatal(err)
		}
		if err := f.Finish(func(float64) {}); err == nil {
			t.Errorf("%s: the plan cannot be removed, and nobody says so", format)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: the whole file is there, and its plan as well", format)
		}
	}
}

// TestFollowsNoLink: what somebody else has put where the part is to be written leads nowhere.
func TestFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	for _, link := range []string{"a.part", "b.plan.new"} {
		if err := errors.Join(os.WriteFile(victim, []byte("precious"), 0o600), os.Symlink(victim, filepath.Join(dir, link))); err != nil {
			t.Fatal(err)
		}
		if f, err := Open(filepath.Join(dir, link[:1]), NDJSON, "", plan); err == nil {
			t.Errorf("%s is followed", link)
			f.Close()
		}
		if got, _ := os.ReadFile(victim); string(got) != "precious" {
			t.Errorf("%s: the file behind it has %q", link, got)
		}
	}
}

// TestRefuses: nobody goes on with another export, at the same time as another one, or with another log.
func TestRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	f := mustOpen(t, path, NDJSON)
	if _, err := Open(path, NDJSON, "type=x", plan); !errors.Is(err, ErrBusy) {
		t.Errorf("two at once: %v", err)
	}
	older := bytes.ReplaceAll(events(11, 11)[0], []byte(epoch), []byte("aaaaaaaaaaaaaaaaaaaaaaaaaa"))
	if err := f.Append([][]byte{older, events(12, 12)[0]}); err != nil {
		t.Errorf("a log that was restored: %v", err)
	}
	other := bytes.ReplaceAll(events(13, 13)[0], []byte(epoch), []byte("aaaaaaaaaaaaaaaaaaaaaaaaaa"))
	if err := f.Append([][]byte{other}); err == nil || !strings.Contains(err.Error(), "it was restored") {
		t.Errorf("another log: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for query, format := range map[string]Format{"type=y": NDJSON, "type=x": Parquet} {
		if _, err := Open(path, format, query, plan); !errors.Is(err, ErrOther) {
			t.Errorf("%s as %s: %v", query, format, err)
		}
	}
	if err := errors.Join(Discard(path), Discard(path)); err != nil {
		t.Fatal(err)
	}
	if f, err := Open(path, Parquet, "type=y", plan); err != nil {
		t.Error(err)
	} else if err := f.Close(); err != nil {
		t.Error(err)
	}
	failed := errors.New("no replica")
	if _, err := Open(path+"2", NDJSON, "", func() (Plan, error) { return Plan{}, failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
	mustOpen(t, path+"2", NDJSON).Close() // nothing is left of an export that did not begin
}

// TestParquet: an event is a row, in columns of its types; several row groups are written. A crash while the file is made of its part loses
// nothing.
func TestParquet(t *testing.T) {
	if testing.Short() {
		t.Skip("many rows, in one goroutine")
	}
	path := filepath.Join(t.TempDir(), "audit.parquet")
	f := mustOpen(t, path, Parquet)
	const last = 2*rowGroup + 100
	if err := f.Append(events(11, last)); err != nil {
		t.Fatal(err)
	}
	extra := `{"sequence":"00000000000000500000","void":"noop","id":"i","source":"/knell/n2","type":"knell.revoked.user","level":2,"epoch":"` + epoch + `"}`
	if err := f.Append([][]byte{[]byte(extra)}); err != nil {
		t.Fatal(err)
	}
	crash(t, f, "{")
	if err := os.WriteFile(path+".new", []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	share := 0.0
	if err := mustOpen(t, path, Parquet).Finish(func(s float64) { share = s }); err != nil || share != 1 {
		t.Fatal(share, err)
	}
	rows, err := parquet.ReadFile[row](path)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != last-10+1 {
		t.Fatalf("%d rows, want %d", len(rows), last-10+1)
	}
	for i, got := range rows[:len(rows)-1] {
		seq := i + 11
		want := row{
			Sequence: int64(seq), ID: fmt.Sprintf("id%d", seq), Type: "knell.session.started", Source: "/knell/n1",
			Time:    new(time.Date(2026, 1, 1, 0, 0, 0, seq*1000, time.UTC).UnixMicro()),
			Subject: text("s"), Level: 1, Epoch: epoch, Data: fmt.Sprintf(`{"n":%d}`, seq),
		}
		if named(seq) != "" {
			want.UserName = text("alice")
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	}
	want := row{Sequence: 500000, ID: "i", Type: "knell.revoked.user", Source: "/knell/n2", Level: 2, Epoch: epoch, Void: text("noop"), Data: "null"}
	if got := rows[len(rows)-1]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	left, _ := os.ReadDir(filepath.Dir(path))
	if len(left) != 1 {
		t.Errorf("files are left: %v", left)
	}
}
