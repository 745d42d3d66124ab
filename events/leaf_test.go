package events_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
)

// TestLeaves: the leaf of a public event is what a reader gets, less the names, whichever of them there are.
func TestLeaves(t *testing.T) {
	for _, info := range events.Types() {
		e := &events.Event{ID: events.NewID(), Time: time.Unix(1767225600, 0), Node: "n1", Reason: `a "quoted" \ reason`, Data: info.Example}
		data, err := events.Encode(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		for _, void := range []string{"", "noop"} {
			leaf := events.AppendLeaf(nil, 42, void, data)
			for _, names := range []events.Notes{{}, {UserName: "alice"}, {ActorName: `b"o\b`}, {UserName: "ælice \u2028", ActorName: "root"}} {
				names.Seq, names.Void = 42, void
				line := append(events.AppendNotes(nil, &names), data[1:]...)
				before := bytes.Clone(line)
				got, err := events.LeafOf(line)
				if err != nil || !bytes.Equal(got.Leaf, leaf) || got.Seq != 42 || got.Void != void || got.Sealed {
					t.Errorf("%s\nhas the leaf\n%s\nwant\n%s\n%v", line, got.Leaf, leaf, err)
				}
				if !bytes.Equal(line, before) {
					t.Error("the line was changed")
				}
			}
		}
	}
}

// TestLongLeaf: what does not fit into an entry of 65,535 bytes is there as a hash, for whoever writes and whoever checks.
func TestLongLeaf(t *testing.T) {
	data := []byte(`{"specversion":"1.0","x":"` + strings.Repeat("x", events.MaxEvent-30) + `"}`)
	leaf := events.AppendLeaf([]byte{0}, 7, "gone", data)[1:]
	if len(leaf) > 200 || !strings.HasPrefix(string(leaf), `{"sequence":"00000000000000000007","void":"gone","digest":"`) {
		t.Errorf("leaf of %d bytes: %.100s", len(leaf), leaf)
	}
	for _, name := range []string{"", "alice"} {
		line := append(events.AppendNotes(nil, &events.Notes{Seq: 7, Void: "gone", UserName: name}), data[1:]...)
		before := bytes.Clone(line)
		if got, err := events.LeafOf(line); err != nil || !bytes.Equal(got.Leaf, leaf) {
			t.Errorf("%.100s, %v", got.Leaf, err)
		}
		if !bytes.Equal(line, before) {
			t.Error("the line was changed")
		}
	}
}

// TestSealedLeaf: a sealed leaf tells neither its event nor the same event with another salt.
func TestSealedLeaf(t *testing.T) {
	salt := bytes.Repeat([]byte{1}, events.SaltSize)
	leaf := events.AppendSealed(nil, 9, "", salt, []byte("password hash"))
	if bytes.Contains(leaf, []byte("password")) {
		t.Errorf("%s", leaf)
	}
	got, err := events.LeafOf(leaf)
	if err != nil || !got.Sealed || got.Seq != 9 || !bytes.Equal(got.Leaf, leaf) {
		t.Errorf("%+v, %v", got, err)
	}
	salt[0] = 2
	if bytes.Equal(leaf, events.AppendSealed(nil, 9, "", salt, []byte("password hash"))) {
		t.Error("the salt does nothing")
	}
	for _, subject := range []string{"knell.secret.abc", "knell.secret.log", "knell.event.session.abc"} {
		if !events.Durable(subject) {
			t.Errorf("%s is no leaf", subject)
		}
	}
	if events.Durable("knell.node.n1") {
		t.Error("beats are leaves")
	}
	if events.Shown("knell.event.session.abc", events.TypeSecretUser) || events.Shown("knell.secret.abc", events.TypeSessionStarted) {
		t.Error("a secret is shown")
	}
}

// TestNoLine: what does not begin as a line of an export does.
func TestNoLine(t *testing.T) {
	for _, line := range []string{
		"", "{}", "null", `{"specversion":"1.0"}`, `{"sequence":"42","specversion":"1.0"}`, `{"sequence":"0000000000000000004x"}`,
		`{"sequence":"99999999999999999999"}`, `{"sequence":"00000000000000000042`, `{"sequence":"00000000000000000042","username":"a`,
		"{\"sequence\":\"00000000000000000042\",\"void\":\"\x01\"}", ` {"sequence":"00000000000000000042"}`,
	} {
		if got, err := events.LeafOf([]byte(line)); !errors.Is(err, events.ErrMalformed) {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
}

// FuzzLeafOf: a leaf is its own leaf, and no line makes another one of its memory.
func FuzzLeafOf(f *testing.F) {
	f.Add([]byte(`{"sequence":"00000000000000000042","void":"noop","username":"a\"b","actorname":"c","specversion":"1.0"}`))
	f.Add([]byte(`{"sequence":"00000000000000000042","sealed":"00"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		before := bytes.Clone(line)
		got, err := events.LeafOf(line)
		if !bytes.Equal(line, before) {
			t.Fatal("the line was changed")
		}
		if err != nil || len(got.Leaf) > events.MaxLeaf {
			return
		}
		if again, err := events.LeafOf(got.Leaf); err == nil && bytes.HasPrefix(got.Leaf, []byte(`{"sequence":"`)) && again.Seq != got.Seq {
			t.Errorf("%q: sequence %d, then %d", line, got.Seq, again.Seq)
		}
	})
}
