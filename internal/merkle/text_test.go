package merkle

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func testKey(t testing.TB, name string, seed byte) (*Key, note.Verifier) {
	t.Helper()
	k, err := NewKey(name, bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(k.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	return k, v
}

// TestCheckpoints: who signed what is told apart, and what is no checkpoint is none.
func TestCheckpoints(t *testing.T) {
	k, v := testKey(t, "knell/a", 1)
	other, _ := testKey(t, "knell/a", 2)
	foreign, _ := testKey(t, "knell/b", 1)
	c := Checkpoint{Origin: "knell/a", Size: 70000, Root: mth([][]byte{{7}})}
	sign := func(c Checkpoint, k *Key) []byte {
		msg, err := c.Sign(k)
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	text := func(s string) []byte {
		msg, err := note.Sign(&note.Note{Text: s}, k)
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	good := sign(c, k)
	if got, err := OpenCheckpoint(good, v); err != nil || got != c {
		t.Fatalf("%+v, %v", got, err)
	}
	root := c.Root.String()
	for _, bad := range []struct {
		name string
		msg  []byte
		want error
	}{
		{"another key", sign(c, other), ErrSignature},
		{"another epoch", sign(Checkpoint{"knell/b", 1, c.Root}, foreign), ErrOrigin},
		{"another origin, signed by the key", sign(Checkpoint{"knell/b", 1, c.Root}, k), ErrOrigin},
		{"changed size", bytes.Replace(good, []byte("70000"), []byte("70001"), 1), ErrSignature},
		{"changed root", bytes.Replace(good, []byte(root[:8]), []byte("AAAAAAAA"), 1), ErrSignature},
		{"cut", good[:len(good)-9], ErrText},
		{"nothing", nil, ErrText},
		{"no signature", []byte("knell/a\n70000\n" + root + "\n"), ErrText},
		{"leading zero", text("knell/a\n070000\n" + root + "\n"), ErrText},
		{"negative", text("knell/a\n-1\n" + root + "\n"), ErrText},
		{"too large", text("knell/a\n9223372036854775808\n" + root + "\n"), ErrText},
		{"short root", text("knell/a\n70000\n" + root[:40] + "\n"), ErrText},
		{"two lines", text("knell/a\n70000\n"), ErrText},
	} {
		if _, err := OpenCheckpoint(bad.msg, v); !errors.Is(err, bad.want) {
			t.Errorf("%s: %v, want %v", bad.name, err, bad.want)
		}
	}
	if got, err := OpenCheckpoint(text("knell/a\n70000\n"+root+"\nextension\n"), v); err != nil || got != c {
		t.Errorf("with an extension line: %v", err)
	}
}

// TestProofTexts: what is written is read again.
func TestProofTexts(t *testing.T) {
	k, _ := testKey(t, "knell/a", 1)
	checkpoint, err := Checkpoint{"knell/a", 3, mth(nil)}.Sign(k)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Proof{
		{Index: 0, Checkpoint: checkpoint},
		{Extra: []byte{}, Index: 1, Path: []Hash{{1}}, Checkpoint: checkpoint},
		{Extra: []byte("{}"), Index: 1 << 40, Path: []Hash{{1}, {2}}, Checkpoint: checkpoint},
	} {
		got, err := ParseProof(p.Text())
		if err != nil || !bytes.Equal(got.Text(), p.Text()) {
			t.Errorf("%s\n%v", p.Text(), err)
		}
	}
	c := Consistency{Old: 2, Path: []Hash{{1}, {2}}, Checkpoint: checkpoint}
	if got, err := ParseConsistency(c.Text()); err != nil || !bytes.Equal(got.Text(), c.Text()) {
		t.Errorf("%s\n%v", c.Text(), err)
	}
	good := string((&Proof{Index: 5, Path: []Hash{{1}}, Checkpoint: checkpoint}).Text())
	for name, bad := range map[string]string{
		"another version": strings.Replace(good, "@v1", "@v2", 1),
		"no index":        strings.Replace(good, "index 5\n", "", 1),
		"leading zero":    strings.Replace(good, "index 5", "index 05", 1),
		"bad hash":        strings.Replace(good, "AQAA", "A!AA", 1),
		"bad extra":       strings.Replace(good, "index", "extra =\nindex", 1),
		"no empty line":   good[:strings.Index(good, "\n\n")],
		"many hashes":     strings.Replace(good, "\n\n", strings.Repeat("\n"+Hash{}.String(), 200)+"\n\n", 1),
	} {
		if _, err := ParseProof([]byte(bad)); !errors.Is(err, ErrText) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzTexts: no text makes the parsers fail otherwise than with an error of theirs, and what they take they write again.
func FuzzTexts(f *testing.F) {
	k, v := testKey(f, "knell/a", 1)
	checkpoint, err := Checkpoint{"knell/a", 3, mth(nil)}.Sign(k)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"0/x001/x234/067.p/112", "entries/000", string(checkpoint), k.Verifier(),
		string((&Proof{Extra: []byte("x"), Index: 1, Path: []Hash{{1}}, Checkpoint: checkpoint}).Text()),
		string((&Consistency{Old: 2, Path: []Hash{{1}}, Checkpoint: checkpoint}).Text()),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if tile, err := ParseTile(s); err == nil && tile.Path() != s {
			t.Errorf("path %q is written %q", s, tile.Path())
		}
		if c, err := OpenCheckpoint([]byte(s), v); err == nil && !bytes.Equal(checkpoint, []byte(s)) && c.Size != 3 {
			t.Errorf("a checkpoint that nobody signed: %q", s)
		}
		if p, err := ParseProof([]byte(s)); err == nil && string(p.Text()) != s {
			t.Errorf("proof %q is written %q", s, p.Text())
		}
		if p, err := ParseConsistency([]byte(s)); err == nil && string(p.Text()) != s {
			t.Errorf("consistency proof %q is written %q", s, p.Text())
		}
	})
}
