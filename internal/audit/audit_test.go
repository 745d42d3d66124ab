package audit

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/merkle"
)

// history is a log, as its replicas have it.
type history struct {
	t     *testing.T
	key   *merkle.Key
	lines [][]byte // as readers get them, with names
}

func newHistory(t *testing.T, n int) *history {
	key, err := merkle.NewKey("knell/epoch", bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	h := &history{t: t, key: key}
	for i := range n {
		h.add(fmt.Sprintf("event %d", i))
	}
	return h
}

// add adds an event; every fifth one is sealed. Sequences have gaps.
func (h *history) add(text string) {
	n := uint64(len(h.lines))
	seq := 10 + 3*n
	if n%5 == 2 {
		h.lines = append(h.lines, events.AppendSealed(nil, seq, "", make([]byte, events.SaltSize), []byte(text)))
		return
	}
	head := events.AppendNotes(nil, &events.Notes{Seq: seq, UserName: "alice"})
	h.lines = append(h.lines, append(head, `"specversion":"1.0","text":"`+text+`"}`...))
}

func (h *history) verifier() note.Verifier {
	v, err := note.NewVerifier(h.key.Verifier())
	if err != nil {
		h.t.Fatal(err)
	}
	return v
}

func (h *history) hashes(size int) (list []merkle.Hash) {
	for _, line := range h.lines[:size] {
		l, err := events.LeafOf(line)
		if err != nil {
			h.t.Fatal(err)
		}
		list = append(list, merkle.LeafHash(append([]byte{0}, l.Leaf...)))
	}
	return list
}

func (h *history) front(size int) *merkle.Range {
	r := &merkle.Range{}
	for _, hash := range h.hashes(size) {
		r.Append(hash)
	}
	return r
}

func (h *history) checkpoint(size int) []byte {
	msg, err := merkle.Checkpoint{Origin: h.key.Name(), Size: uint64(size), Root: h.front(size).Root()}.Sign(h.key)
	if err != nil {
		h.t.Fatal(err)
	}
	return msg
}

// claim returns a checkpoint of leaves that nobody has. Times 32, 1 << 59 is nothing.
func (h *history) claim(size uint64) []byte {
	msg, err := merkle.Checkpoint{Origin: h.key.Name(), Size: size}.Sign(h.key)
	if err != nil {
		h.t.Fatal(err)
	}
	return msg
}

func (h *history) raw(size int) (b []byte) {
	for _, hash := range h.hashes(size) {
		b = append(b, hash[:]...)
	}
	return b
}

func (h *history) export(lines [][]byte) *bytes.Buffer {
	return bytes.NewBuffer(append(bytes.Join(lines, []byte("\n")), '\n'))
}

// TestGoodLogs: what is right is found right, with an earlier checkpoint and from the middle too.
func TestGoodLogs(t *testing.T) {
	h := newHistory(t, 600)
	for name, l := range map[string]Log{
		"whole":                {Export: h.export(h.lines), Checkpoint: h.checkpoint(600)},
		"with an earlier one":  {Export: h.export(h.lines), Checkpoint: h.checkpoint(600), Earlier: h.checkpoint(257)},
		"the same twice":       {Export: h.export(h.lines), Checkpoint: h.checkpoint(600), Earlier: h.checkpoint(600)},
		"an empty earlier one": {Export: h.export(h.lines), Checkpoint: h.checkpoint(600), Earlier: h.checkpoint(0)},
		"longer than that":     {Export: h.export(h.lines), Checkpoint: h.checkpoint(590), Hashes: h.raw(590)},
		"with hashes":          {Export: h.export(h.lines), Checkpoint: h.checkpoint(600), Hashes: h.raw(600)},
		"from the middle":      {Export: h.export(h.lines[300:]), Checkpoint: h.checkpoint(600), Front: frontJSON(h.front(300)), Hashes: h.raw(600)},
		"only checkpoints":     {Checkpoint: h.checkpoint(600), Earlier: h.checkpoint(600)},
		"nothing":              {Export: h.export(nil), Checkpoint: h.checkpoint(0)},
	} {
		l.Key = h.verifier()
		if _, err := Check(l); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, err := Check(Log{Key: h.verifier(), Export: h.export(h.lines), Checkpoint: h.checkpoint(590)})
	if want := (Result{Leaves: 600, Sealed: 118, First: 10, Last: 10 + 3*589, Size: 590, Root: h.front(590).Root(), Beyond: 10}); err != nil || r != want {
		t.Errorf("%+v, %v, want %+v", r, err, want)
	}
}

func frontJSON(r *merkle.Range) []byte {
	var list []string
	for _, h := range r.Hashes() {
		list = append(list, `"`+h.String()+`"`)
	}
	return fmt.Appendf(nil, `{"size":%d,"hashes":[%s]}`, r.Size(), strings.Join(list, ","))
}

// tampered returns what somebody has made of the lines of h: each time something else.
func tampered(h *history) (changed, resealed, removed, swapped, renumbered, moved, unvoided [][]byte) {
	changed = slices.Clone(h.lines)
	changed[123] = bytes.Replace(changed[123], []byte("event"), []byte("evenT"), 1)
	resealed = slices.Clone(h.lines)
	resealed[122] = bytes.Replace(resealed[122], []byte(`"sealed":"`), []byte(`"sealed":"0`), 1)
	removed = slices.Delete(slices.Clone(h.lines), 200, 203)
	swapped = slices.Clone(h.lines)
	swapped[50], swapped[51] = swapped[51], swapped[50]
	renumbered = slices.Clone(h.lines) // the same with the sequences of their places
	a, b := h.lines[50][:33], h.lines[51][:33]
	renumbered[50], renumbered[51] = append(slices.Clone(a), h.lines[51][33:]...), append(slices.Clone(b), h.lines[50][33:]...)
	moved = slices.Clone(h.lines)
	moved[300] = bytes.Replace(moved[300], []byte(`"sequence":"00000000000000000910"`), []byte(`"sequence":"00000000000000000911"`), 1)
	unvoided = slices.Clone(h.lines)
	unvoided[61] = bytes.Replace(unvoided[61], []byte(`,"username"`), []byte(`,"void":"gone","username"`), 1)
	return changed, resealed, removed, swapped, renumbered, moved, unvoided
}

// TestAttacks: whatever was done to a log, it is found, named and located.
func TestAttacks(t *testing.T) {
	h := newHistory(t, 600)
	other := newHistory(t, 400)
	for i := len(other.lines); i < 600; i++ {
		other.add("another history")
	}
	thief, err := merkle.NewKey("knell/epoch", bytes.Repeat([]byte{8}, 32))
	if err != nil {
		t.Fatal(err)
	}
	foreign := newHistory(t, 600)
	if foreign.key, err = merkle.NewKey("knell/other-epoch", bytes.Repeat([]byte{7}, 32)); err != nil {
		t.Fatal(err)
	}
	forged := *h
	forged.key = thief
	changed, resealed, removed, swapped, renumbered, moved, unvoided := tampered(h)
	forkProof := func(l *history) []byte {
		c := merkle.Consistency{Old: 500, Checkpoint: l.checkpoint(600)}
		return c.Text()
	}
	for _, c := range []struct {
		name string
		log  Log
		want error
		text string
	}{
		{"changed byte", Log{Export: h.export(changed), Hashes: h.raw(600)}, ErrChanged, "leaf 123, which has sequence 379 in the export (line 124)"},
		{"changed byte, without hashes", Log{Export: h.export(changed)}, ErrChanged, "not those of the checkpoint"},
		{"changed hash of a secret", Log{Export: h.export(resealed), Hashes: h.raw(600)}, ErrChanged, "leaf 122"},
		{"changed before an earlier checkpoint", Log{Export: h.export(changed), Earlier: h.checkpoint(124)}, ErrChanged, "up to sequence 379"},
		{"changed behind an earlier checkpoint", Log{Export: h.export(changed), Earlier: h.checkpoint(123)}, ErrChanged, "behind the first 123"},
		{"removed", Log{Export: h.export(removed), Hashes: h.raw(600)}, ErrRemoved, "3 leaves before sequence 619 (line 201), from leaf 200 on"},
		{"removed, without hashes", Log{Export: h.export(removed)}, ErrTruncated, "3 of 600 leaves are missing"},
		{"swapped", Log{Export: h.export(swapped)}, ErrOrder, "line 52 has sequence 160, and the line before it 163"},
		{"swapped and renumbered", Log{Export: h.export(renumbered), Hashes: h.raw(600)}, ErrChanged, "leaf 50"},
		{"another sequence", Log{Export: h.export(moved), Hashes: h.raw(600)}, ErrChanged, "leaf 300"},
		{"a mark added", Log{Export: h.export(unvoided), Hashes: h.raw(600)}, ErrChanged, "leaf 61"},
		{"twice", Log{Export: h.export(append(slices.Clone(h.lines[:10]), h.lines[9:]...))}, ErrOrder, "line 11"},
		{"truncated", Log{Export: h.export(h.lines[:555]), Hashes: h.raw(600)}, ErrTruncated, "the last 45 of 600"},
		{"truncated, with a checkpoint of that", Log{Export: h.export(h.lines[:555]), Checkpoint: h.checkpoint(555), Earlier: h.checkpoint(600)},
			ErrTruncated, "555 leaves, the earlier one had 600"},
		{"forked, of one size", Log{Checkpoint: other.checkpoint(600), Earlier: h.checkpoint(600)}, ErrForked, "600 leaves have different roots"},
		{"forked, seen by the export", Log{Export: other.export(other.lines), Checkpoint: other.checkpoint(600), Earlier: h.checkpoint(500)}, ErrForked, "the first 500 leaves"},
		{"forked, seen by a proof", Log{Checkpoint: other.checkpoint(600), Earlier: h.checkpoint(500), Growth: forkProof(other)}, ErrForked, "does not lead"},
		{"a proof to another checkpoint", Log{Checkpoint: h.checkpoint(600), Earlier: h.checkpoint(500), Growth: forkProof(other)}, ErrForked, "600 leaves"},
		{"wrong key", Log{Export: h.export(h.lines), Checkpoint: forged.checkpoint(600)}, ErrSigned, "checkpoint"},
		{"another epoch", Log{Export: foreign.export(foreign.lines), Checkpoint: foreign.checkpoint(600)}, ErrForeign, "knell/other-epoch"},
		{"hashes of another log", Log{Export: h.export(h.lines), Hashes: other.raw(600)}, ErrMalformed, "not those of the checkpoint"},
		{"too few hashes", Log{Export: h.export(h.lines), Hashes: h.raw(599)}, ErrMalformed, "bytes"},
		{"wrong front", Log{Export: h.export(h.lines[300:]), Front: frontJSON(other.front(299))}, ErrTruncated, ""},
		{"not provable", Log{Export: h.export(h.lines[300:]), Front: frontJSON(h.front(300)), Earlier: h.checkpoint(200)}, ErrUnknown, "from 200 to 600"},
		{"not provable, without an export", Log{Earlier: h.checkpoint(200)}, ErrUnknown, ""},
		{"a front that is all of it, before what was made up", Log{Export: h.export(changed), Front: frontJSON(h.front(600))}, ErrUnknown, "all of the export"},
		{"a size beyond counting", Log{Export: h.export(h.lines), Checkpoint: h.claim(1 << 59), Hashes: []byte{}}, ErrMalformed, "hashes"},
		{"no line", Log{Export: strings.NewReader("{}\n")}, ErrMalformed, "line 1"},
		{"a line without an end", Log{Export: strings.NewReader(strings.Repeat("x", maxLine+1))}, ErrMalformed, "line 1"},
	} {
		l := c.log
		l.Key = h.verifier()
		if l.Checkpoint == nil {
			l.Checkpoint = h.checkpoint(600)
		}
		if _, err := Check(l); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v; want %v, with %q", c.name, err, c.want, c.text)
		}
	}
}

// TestProofAndReceipt: a proof is of one event at one place, and a receipt of one event that took effect.
func TestProofAndReceipt(t *testing.T) {
	h := newHistory(t, 2)
	void := append(events.AppendNotes(nil, &events.Notes{Seq: 16, Void: "noop"}), `"specversion":"1.0"}`...)
	h.lines = append(h.lines, void, append(events.AppendNotes(nil, &events.Notes{Seq: 19}), `"specversion":"1.0"}`...))
	hashes := h.hashes(4)
	proof := func(i int) []byte {
		pair := merkle.Range{}
		j := 2 - i&2
		pair.Append(hashes[j])
		pair.Append(hashes[j+1])
		line, _ := events.LeafOf(h.lines[i])
		p := merkle.Proof{Extra: line.Leaf, Index: uint64(i), Path: []merkle.Hash{hashes[i^1], pair.Root()}, Checkpoint: h.checkpoint(4)}
		return p.Text()
	}
	statement := func(text string) []byte {
		msg, err := note.Sign(&note.Note{Text: text}, h.key)
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	says := func(seq, index int, replicas string) []byte {
		return statement(fmt.Sprintf("knell receipt v1\nlog knell/epoch\nsequence %d\nindex %d\nleaf %s\n%s", seq, index, hashes[index], replicas))
	}
	const replicas = "replica a x applied\nreplica b y lease-ended\nreplica c z left\n"
	good := says(19, 3, replicas)
	r, err := CheckReceipt(h.verifier(), proof(3), good)
	if err != nil || len(r.Replicas) != 3 || r.Replicas[1] != (Replica{"b", "y", "lease-ended"}) || r.Index != 3 || r.Size != 4 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, c := range []struct {
		name             string
		proof, statement []byte
		want             error
	}{
		{"of another event", proof(1), good, ErrChanged},
		{"of a void event", proof(2), says(16, 2, replicas), ErrChanged},
		{"another log", proof(3), statement("knell receipt v1\nlog knell/x\n"), ErrForeign},
		{"a checkpoint as the statement", proof(3), h.checkpoint(4), ErrMalformed},
		{"no replica", proof(3), says(19, 3, ""), ErrMalformed},
		{"a replica that may answer", proof(3), says(19, 3, "replica a x may-answer\n"), ErrMalformed},
		{"a changed statement", proof(3), bytes.Replace(good, []byte("lease-ended"), []byte("applied"), 1), ErrSigned},
		{"a changed event", bytes.Replace(proof(3), []byte("extra ey"), []byte("extra fy"), 1), good, ErrMalformed},
		{"a changed path", bytes.Replace(proof(3), []byte(hashes[2].String()), []byte(hashes[1].String()), 1), good, ErrChanged},
		{"another place", bytes.Replace(proof(3), []byte("index 3"), []byte("index 2"), 1), good, ErrChanged},
		{"no proof", nil, good, ErrMalformed},
	} {
		if _, err := CheckReceipt(h.verifier(), c.proof, c.statement); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := CheckProof(h.verifier(), proof(3), h.lines[3]); err != nil {
		t.Errorf("the event as a reader has it: %v", err)
	}
	if _, err := CheckProof(h.verifier(), proof(3), h.lines[1]); !errors.Is(err, ErrChanged) {
		t.Errorf("another event: %v", err)
	}
	bare := merkle.Proof{Index: 3, Checkpoint: h.checkpoint(4)}
	if _, err := CheckProof(h.verifier(), bare.Text(), nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("without the event: %v", err)
	}
}
