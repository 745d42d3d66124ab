package events_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/knell-auth/knell/events"
)

// TestReaders: a reader begins where it should, has what is public alone, says how far it is, and goes.
func TestReaders(t *testing.T) {
	for _, outside := range []bool{false, true} {
		nc := connect(t, &link{to: startServer(t, nil)})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		l, err := events.Open(ctx, nc, events.Config{Node: "n1", MaxBytes: maxBytes, ReadersOutside: outside})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if l.ReadersOutside() != outside {
			t.Error("it does not say where readers are")
		}
		for _, e := range []events.Payload{&events.AllRevoked{}, &events.SecretRehash{User: events.NewID()}, &events.AllRevoked{}, &events.AllRevoked{}} {
			if _, err := l.Append(ctx, &events.Event{ID: events.NewID(), Time: time.Now(), Epoch: events.NewID(), Node: "n1", Data: e}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.ReaderState(ctx, "siem-9"); !errors.Is(err, events.ErrNoReader) {
			t.Errorf("before it is made: %v", err)
		}
		for range 2 {
			if err := l.MakeReader(ctx, events.Reader{Name: "siem-9", After: 1}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.MakeReader(ctx, events.Reader{Name: "siem-9"}); err == nil {
			t.Error("a reader begins elsewhere than it did")
		}
		if s, err := l.ReaderState(ctx, "siem-9"); err != nil || s != (events.ReaderState{Acked: 1, Delivered: 1, Pending: 2}) {
			t.Errorf("%+v, %v", s, err)
		}
		readTo(ctx, t, nc, 3, 4)
		// An acknowledgement stands for all before it, unless nobody watches the order.
		want := map[bool]events.ReaderState{false: {Acked: 4, Delivered: 4}, true: {Acked: 1, Delivered: 4, Unacked: 1}}[outside]
		s, err := l.ReaderState(ctx, "siem-9")
		if s.AckedAt.IsZero() {
			t.Error("it does not say when something was acknowledged")
		}
		if s.AckedAt = (time.Time{}); err != nil || s != want {
			t.Errorf("%+v, %v, want %+v", s, err, want)
		}
		for range 2 {
			if err := l.DropReader(ctx, "siem-9"); err != nil {
				t.Error(err)
			}
		}
		if _, err := l.ReaderState(ctx, "siem-9"); !errors.Is(err, events.ErrNoReader) {
			t.Errorf("after its end: %v", err)
		}
	}
}

// readTo reads the events with these sequences and acknowledges the last of them.
func readTo(ctx context.Context, t *testing.T, nc *nats.Conn, seqs ...uint64) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.Consumer(ctx, events.StreamName, "siem-9")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range seqs {
		m, err := c.Next(jetstream.FetchContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		meta, err := m.Metadata()
		if err != nil || meta.Sequence.Stream != want {
			t.Errorf("%+v, %v, want %d", meta, err, want)
		}
		if i == len(seqs)-1 {
			if err := m.DoubleAck(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestValidReaderKey: only the public key of a user is one.
func TestValidReaderKey(t *testing.T) {
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if !events.ValidReaderKey(public) || events.ValidReaderKey(string(seed)) || events.ValidReaderKey(public[:55]) || events.ValidReaderKey("") {
		t.Error(public)
	}
}
