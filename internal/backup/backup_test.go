package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func written(t *testing.T, records ...Record) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, Header{Created: time.Unix(1_800_000_000, 0).UTC(), Node: "r1", First: 7, Last: 9})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := w.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

var some = []Record{
	{Snapshot, "", bytes.Repeat([]byte("state "), 20_000)}, {Message, "knell.event.x", []byte("{}")},
	{Message, "knell.secret.x", nil}, {Tile, "a.0.0", []byte{0, 1, 2}},
}

func check(file []byte) error { return Check(bytes.NewReader(file), int64(len(file))) }

// read returns the records of a file.
func read(file []byte) (list []Record, err error) {
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		list = append(list, rec)
	}
}

func TestRoundTrip(t *testing.T) {
	file := written(t, some...)
	if err := check(file); err != nil {
		t.Fatal(err)
	}
	got, err := read(file)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(some) {
		t.Errorf("%v, %d records", err, len(got))
	}
	lines := strings.SplitN(string(file), "\n", 3)
	if lines[0] != "knell backup 1" || !strings.HasPrefix(lines[1], `{"created":"2027-01-15T08:00:00Z","node":"r1"`) {
		t.Errorf("it begins with\n%s\n%s", lines[0], lines[1])
	}
}

// Each byte that is changed, and each place at which it is cut off or something is appended, is found.
func TestDamage(t *testing.T) {
	file := written(t, some...)
	for at := range file {
		changed := bytes.Clone(file)
		changed[at] ^= 1
		if err := check(changed); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d changed: %v", at, err)
		}
		if err := check(file[:at]); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut off at %d: %v", at, err)
		}
	}
	if err := check(append(bytes.Clone(file), 'x')); !errors.Is(err, ErrDamaged) {
		t.Errorf("one byte more: %v", err)
	}
}

// What is wrong is said.
func TestForeign(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "does not begin as one does",
		"hello":                     "does not begin as one does",
		strings.Repeat("x", 1<<20):  "does not begin as one does",
		"knell backup 2\n{}\n":      "it has format 2, and this version of knell reads 1",
		"knell backup 1\nx\n":       "description cannot be read",
		"knell backup 1\n{}\n":      "says nothing of messages",
		string(written(t)) + "\n\n": "something is appended",
	} {
		if err := check([]byte(text)); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
	for _, records := range [][]Record{{some[1], some[0]}, {{'x', "", nil}}, {some[3], some[1]}} {
		if _, err := read(written(t, records...)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%v: %v", records, err)
		}
	}
}

// FuzzRead: whatever a file is, reading it ends, and takes no more memory than there is to read.
func FuzzRead(f *testing.F) {
	var t testing.T
	f.Add(written(&t, some...))
	f.Add([]byte("knell backup 1\n{\"first\":1}\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if _, err := read(file); err != nil && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
	})
}
