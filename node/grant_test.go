package node

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
)

// newReaderKey returns the public NKey of somebody.
func newReaderKey(t *testing.T) string {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// grantTo grants the events to a key at a replica.
func (r *rig) grantTo(at, name, key string) {
	r.t.Helper()
	if _, err := r.nodes[at].GrantEvents(context.Background(), NewGrant{Name: name, Key: key}, Origin{Actor: "test"}); err != nil {
		r.t.Fatal(err)
	}
}

// admitted watches a key at all replicas.
func (r *rig) admitted(key string) map[string]*Watch {
	r.t.Helper()
	list := map[string]*Watch{}
	for name, n := range r.nodes {
		_, w, err := n.Admit(context.Background(), key)
		if err != nil {
			r.t.Fatalf("%s: %v", name, err)
		}
		list[name] = w
	}
	return list
}

// TestGrantEndsBeforeCommandReturns: when a grant is made it is good at every replica; when it is revoked none serves it, also one whose
// report is late.
func TestGrantEndsBeforeCommandReturns(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		key, other := newReaderKey(t), newReaderKey(t)
		r.grantTo("a", "siem", key)
		r.grantTo("b", "other", other)
		gone, stays := r.admitted(key), r.admitted(other)
		r.goesOn(gone)
		if list, err := r.nodes["c"].Grants(context.Background()); err != nil || len(list) != 2 || list[1].Name != "siem" || list[1].Here != 1 {
			t.Errorf("%+v, %v", list, err)
		}
		if err := r.nodes["c"].RevokeGrant(context.Background(), "siem", Origin{Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		for name, w := range gone {
			if err := w.Check(); !errors.Is(err, ErrInvalidToken) {
				t.Errorf("%s: %v", name, err)
			}
		}
		r.ended(gone, ErrInvalidToken)
		r.goesOn(stays)
		for name, n := range r.nodes {
			if _, _, err := n.Admit(context.Background(), key); !errors.Is(err, ErrInvalidKey) {
				t.Errorf("%s: %v", name, err)
			}
		}
		r.same()
		for _, w := range stays {
			w.Stop()
		}
		r.unwatched()
	})
}

// TestGrantWithoutLease: a replica that is cut off ends its readers with its lease, and lets none in, without a word about the key; a
// revocation elsewhere waits for that end.
func TestGrantWithoutLease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		key := newReaderKey(t)
		r.grantTo("a", "siem", key)
		w := r.admitted(key)
		r.links["c"].Cut()
		began := time.Now()
		if err := r.nodes["a"].RevokeGrant(context.Background(), "siem", Origin{Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited < time.Second {
			t.Errorf("returned after %v", waited)
		}
		if err := w["c"].Check(); !errors.Is(err, ErrNotCurrent) {
			t.Errorf("the replica that was cut off: %v", err)
		}
		if _, _, err := r.nodes["c"].Admit(context.Background(), key); !errors.Is(err, ErrNotCurrent) {
			t.Errorf("it lets readers in: %v", err)
		}
		if _, err := r.nodes["c"].Grants(context.Background()); !errors.Is(err, ErrNotCurrent) {
			t.Errorf("it lists grants: %v", err)
		}
		synctest.Wait()
		if w["c"].Context().Err() == nil {
			t.Error("its reader goes on")
		}
		r.links["c"].Heal()
	})
}

// TestGrantHasToBeGood: what is no grant is refused, and no more are made than there may be.
func TestGrantHasToBeGood(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.nodes["a"]
		for i := range maxGrants {
			r.grantTo("a", consumerOf("g", uint64(i)), newReaderKey(t))
		}
		for _, ng := range []NewGrant{{Name: "one-more", Key: newReaderKey(t)}, {Name: "Upper", Key: newReaderKey(t)}, {Name: "x", Key: "UAAA"}, {Name: "g-1", Key: "SUA"}} {
			if _, err := n.GrantEvents(context.Background(), ng, Origin{}); !errors.Is(err, ErrBadRequest) {
				t.Errorf("%+v: %v", ng, err)
			}
		}
		if err := n.RevokeGrant(context.Background(), "unknown", Origin{}); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	})
}

// readersLog is a log with consumers, which are not deleted while it is stubborn.
type readersLog struct {
	*eventstest.Node
	has *consumers
}

type consumers struct {
	mu       sync.Mutex
	stubborn bool
	names    map[string]bool
	made     func() // called when one was made
}

// ReadersOutside implements Readers.
func (readersLog) ReadersOutside() bool { return false }

// MakeReader implements Readers.
func (l readersLog) MakeReader(_ context.Context, r events.Reader) error {
	l.has.mu.Lock()
	made := l.has.made
	l.has.mu.Unlock()
	if made != nil {
		made()
	}
	l.has.mu.Lock()
	defer l.has.mu.Unlock()
	l.has.names[r.Name] = true
	return nil
}

// DropReader implements Readers.
func (l readersLog) DropReader(_ context.Context, name string) error {
	l.has.mu.Lock()
	defer l.has.mu.Unlock()
	if l.has.stubborn {
		return errors.New("no leader")
	}
	delete(l.has.names, name)
	return nil
}

// ReaderState implements Readers.
func (readersLog) ReaderState(context.Context, string) (events.ReaderState, error) {
	return events.ReaderState{}, nil
}

// TestRevokedReaderIsDropped: the consumer of a revoked grant goes, though it could not be deleted at once, and though the replica that was
// told to has died; so does one that was made when its grant had been revoked already.
func TestRevokedReaderIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		has := &consumers{names: map[string]bool{}}
		r.edit = func(c *Config) { c.Log = readersLog{c.Log.(*eventstest.Node), has} }
		for _, name := range []string{"a", "b", "c"} {
			r.start(name)
		}
		ctx := context.Background()
		set := func(stubborn bool, made func()) {
			has.mu.Lock()
			has.stubborn, has.made = stubborn, made
			has.mu.Unlock()
		}
		gone := func(when string) {
			t.Helper()
			time.Sleep(15 * time.Second)
			has.mu.Lock()
			defer has.mu.Unlock()
			if len(has.names) != 0 {
				t.Errorf("%s: %v", when, has.names)
			}
		}
		r.grantTo("a", "siem", newReaderKey(t))
		set(true, nil)
		if err := r.nodes["a"].RevokeGrant(ctx, "siem", Origin{Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		r.kill("a")
		set(false, nil)
		gone("its replica has died")

		set(false, func() {
			set(false, nil)
			if err := r.nodes["c"].RevokeGrant(ctx, "late", Origin{Actor: "test"}); err != nil {
				t.Error(err)
			}
		})
		if _, err := r.nodes["b"].GrantEvents(ctx, NewGrant{Name: "late", Key: newReaderKey(t)}, Origin{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("a grant that was revoked meanwhile: %v", err)
		}
		gone("it was made too late")
	})
}

// TestVoidRevocationKeepsReader: what ends no grant takes no consumer away.
func TestVoidRevocationKeepsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		has := &consumers{names: map[string]bool{}}
		r.edit = func(c *Config) { c.Log = readersLog{c.Log.(*eventstest.Node), has} }
		r.start("a")
		r.grantTo("a", "siem", newReaderKey(t))
		foreign := &events.Event{ID: events.NewID(), Time: time.Now(), Epoch: events.NewID(), Node: "b", Data: &events.GrantRevoked{Grant: "siem"}}
		if _, err := r.links["a"].Append(context.Background(), foreign); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		has.mu.Lock()
		defer has.mu.Unlock()
		if len(has.names) != 1 {
			t.Errorf("the consumer of a grant that goes on: %v", has.names)
		}
	})
}

// TestBehind: who is where the log begins now, and has not everything, may have missed what was before it.
func TestBehind(t *testing.T) {
	for _, c := range []struct {
		first  uint64
		reader *events.ReaderState
		want   bool
	}{
		{1, &events.ReaderState{Pending: 5}, false},
		{100, &events.ReaderState{Acked: 99, Pending: 5}, true},
		{100, &events.ReaderState{Acked: 20, Unacked: 5}, true},
		{100, &events.ReaderState{Acked: 100, Pending: 5}, false},
		{100, &events.ReaderState{Acked: 99}, false},
		{100, nil, false},
	} {
		if g := (GrantState{First: c.first, Reader: c.reader}); g.Behind() != c.want {
			t.Errorf("%d, %+v: %v", c.first, c.reader, g.Behind())
		}
	}
}
