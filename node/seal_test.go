package node

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
)

// TestNobodyIsAccused: replicas that stop and start, and one that reads of that, have nothing to say about signatures.
func TestNobodyIsAccused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var out lockedText
		r.out = &out
		for _, name := range []string{"a", "b", "c"} {
			r.start(name)
		}
		for range 2 {
			for _, name := range []string{"c", "a", "b"} {
				r.nodes[name].Close(t.Context())
				r.start(name)
				time.Sleep(5 * time.Second)
			}
			r.kill("a")
			r.start("a")
		}
		if said := out.take(); strings.Contains(said, "signed") || strings.Contains(said, "in the name of") {
			t.Error(said)
		}
	})
}

// TestEventIDs: an event is known again by who made it, in another life as well, as long as nothing in it is changed, and by nobody else.
func TestEventIDs(t *testing.T) {
	id := identity{Events: newKey()}
	var first, second, other sealer
	first.init(id)
	second.init(id)
	other.init(identity{Events: newKey()})
	e := events.Event{ID: events.NewID(), Time: time.Unix(1, 0), Subject: "s", Node: "a", Actor: "system", Data: &events.UserRevoked{User: events.NewID(), Cause: "deleted"}}
	first.seal(&e)
	e.TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	var read events.Event
	if err := events.Decode(must(events.Encode(nil, &e))(t), &read); err != nil {
		t.Fatal(err)
	}
	if !first.made(&read) || !second.made(&read) || other.made(&read) {
		t.Error("not known again, or known where it is not from")
	}
	for what, change := range map[string]func(*events.Event){
		"id":      func(e *events.Event) { e.ID[0]++ },
		"mac":     func(e *events.Event) { e.ID[15]++ },
		"epoch":   func(e *events.Event) { e.Epoch = events.NewID() },
		"node":    func(e *events.Event) { e.Node = "b" },
		"time":    func(e *events.Event) { e.Time = e.Time.Add(time.Hour) },
		"subject": func(e *events.Event) { e.Subject = "t" },
		"data":    func(e *events.Event) { e.Data = &events.UserRevoked{User: events.NewID(), Cause: "deleted"} },
	} {
		changed := read
		if change(&changed); first.made(&changed) {
			t.Errorf("another %s, and known again", what)
		}
	}
}

// FuzzSeal: whatever somebody from outside has written into an event, the replica that made it knows it again when it has come through
// the log; else a strange user agent would end replicas.
func FuzzSeal(f *testing.F) {
	var m sealer
	m.init(identity{Events: newKey()})
	types := events.Types()
	for i := range types {
		for _, text := range []string{"", "\x00\x1f\x7f\"\\/<>&'", "\u2028\ufffd\u00e9\U0001f600", "\xff\xc0\xaf", strings.Repeat("\n", 900)} {
			f.Add(uint8(i), text, text, int64(0))
			f.Add(uint8(i), "curl/8", text, int64(1<<60))
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, agent, text string, at int64) {
		e := events.Event{
			ID: events.NewID(), Time: time.Unix(at>>30, at).In(time.FixedZone("there", 3600)), Subject: text, Node: "a", Actor: agent, Address: text,
			UserAgent: agent, RequestID: text, Reason: text, Data: types[int(kind)%len(types)].Example,
		}
		m.seal(&e)
		raw, err := events.Encode(nil, &e)
		if err != nil {
			return // it is refused, and not appended
		}
		var read events.Event
		if err := events.Decode(raw, &read); err != nil || !m.made(&read) {
			t.Fatalf("%v: not known again: %s", err, raw)
		}
	})
}

// BenchmarkSeal is what an event costs more than with a random id, when it is made and when it is applied where it was made.
func BenchmarkSeal(b *testing.B) {
	var m sealer
	m.init(identity{Events: newKey()})
	e := events.Event{ID: events.NewID(), Time: time.Unix(1, 0), Subject: "s", Node: "a", Actor: "system", Data: &events.SessionRevoked{Session: events.NewID()}}
	b.ReportAllocs()
	for b.Loop() {
		m.seal(&e)
	}
}

// BenchmarkCheckBeat is what a beat of another replica costs more than without a signature.
func BenchmarkCheckBeat(b *testing.B) {
	n := benchNode(b)
	p := events.Ping{Node: n.cfg.Name, Incarnation: n.life.inc, Counter: 7}
	n.signBeat(n.epoch(), &p)
	for b.Loop() {
		if _, ok := n.genuine(&p); !ok {
			b.Fatal("not genuine")
		}
	}
}
