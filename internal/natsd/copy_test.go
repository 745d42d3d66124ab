package natsd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe" // for go:linkname

	"github.com/nats-io/nats-server/v2/server"
)

// whole says that the log was never trimmed, to whoever has applied all of it.
func whole() (first, applied uint64) { return 1, 1 << 62 }

// A server whose store was damaged after a clean stop believes that its beginning was trimmed.
func TestIncompleteCopyIsFound(t *testing.T) {
	c := startCluster(t, nil)
	nc := connectTest(t, c.servers[0])
	for range 50 {
		retry(t, func(ctx context.Context) error {
			_, err := publish(ctx, nc, "knell.event.session.1")
			return err
		})
	}
	nc.Close()
	for _, s := range c.servers {
		if err := s.CheckCopy(testContext(t), whole); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
	victim := (c.awaitWhole(t) + 1) % 3
	if err := c.servers[victim].Stop(testContext(t)); err != nil {
		t.Fatal(err)
	}
	blocks, err := filepath.Glob(filepath.Join(storeDir(c.cfgs[victim].Dir), "jetstream", Account, "streams", StreamName, "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("no blocks: %v", err)
	}
	for _, b := range blocks {
		if err := os.Truncate(b, 0); err != nil {
			t.Fatal(err)
		}
	}
	s := startTest(t, c.cfgs[victim])
	retry(t, func(context.Context) error {
		if _, open := s.CopyEnd(); !open {
			return errors.New("the copy is not open yet")
		}
		return nil
	})
	if err := s.CheckCopy(timeout(t, time.Second), whole); !errors.Is(err, ErrIncomplete) || !errors.Is(s.CopyLacks(whole), ErrIncomplete) {
		t.Errorf("got %v and %v", err, s.CopyLacks(whole))
	}
}

// A server that was away has a copy that ends early, and is waited for until it has been filled.
func TestCopyEnd(t *testing.T) {
	c := startCluster(t, nil)
	away := (c.awaitWhole(t) + 1) % 3
	if err := c.servers[away].Stop(testContext(t)); err != nil {
		t.Fatal(err)
	}
	s := c.servers[(away+1)%3]
	nc := connectTest(t, s)
	var seq uint64
	for range 50 {
		retry(t, func(ctx context.Context) (err error) {
			seq, err = publish(ctx, nc, "knell.event.session.1")
			return err
		})
	}
	nc.Close()
	if !s.AwaitCopy(testContext(t), seq) {
		t.Error("a copy that was there all the time does not reach the end")
	}
	if end, ok := s.CopyEnd(); !ok || end != seq {
		t.Errorf("it ends at %d (%v), want %d", end, ok, seq)
	}
	soon, cancel := context.WithCancel(testContext(t))
	cancel()
	if s.AwaitCopy(soon, seq+1) {
		t.Error("a copy reaches what is not there")
	}
	back := startTest(t, c.cfgs[away])
	c.servers[away] = back
	if !back.AwaitCopy(testContext(t), seq) {
		t.Error("a copy that lacked messages is not filled")
	}
	if end, _ := back.CopyEnd(); end < seq {
		t.Errorf("it was waited for to %d, and ends at %d", seq, end)
	}
}

//go:linkname lookupStream github.com/nats-io/nats-server/v2/server.(*Account).lookupStream
func lookupStream(a *server.Account, name string) (unsafe.Pointer, error)

//go:linkname storeOf github.com/nats-io/nats-server/v2/server.(*stream).Store
func storeOf(stream unsafe.Pointer) server.StreamStore

// A copy that is filled while the log is trimmed gets markers in place of what its leader does not have any more. They are no damage:
// they lie before the beginning of the log, and go when the copy is trimmed as well.
func TestFilledWhileTrimmed(t *testing.T) {
	s := startTest(t, Config{Dir: t.TempDir(), Name: "n1"})
	createStream(t, connectTest(t, s), 1)
	account, err := s.srv.LookupAccount(Account)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := lookupStream(account, StreamName)
	if err != nil {
		t.Fatal(err)
	}
	store := storeOf(stream)
	fill := func(to uint64) {
		for st, _ := s.copyState(); st.LastSeq < to; st.LastSeq++ {
			if _, _, err := store.StoreMsg("knell.event.session.1", nil, nil, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	trim := func(first uint64) {
		if _, err := store.Compact(first); err != nil {
			t.Fatal(err)
		}
	}
	fill(58)
	if _, err := store.SkipMsg(59); err != nil {
		t.Fatal(err)
	}
	fill(94)
	trim(51)
	fill(97)
	begins := func(first, applied uint64) Begins { return func() (uint64, uint64) { return first, applied } }
	for _, c := range []struct {
		first, applied uint64
		known, whole   bool
	}{
		{73, 104, false, true}, // the replica has applied the trim, and its copy has not
		{73, 97, true, false},  // it has as much as the replica, and was not trimmed
		{51, 104, true, false}, // the log was not trimmed past the hole
	} {
		if known, err := s.copyLacks(begins(c.first, c.applied)); known != c.known || (err == nil) != c.whole {
			t.Errorf("%+v: %v, %v", c, known, err)
		}
	}
	trim(73)
	fill(104)
	if known, err := s.copyLacks(begins(73, 104)); !known || err != nil {
		t.Errorf("trimmed: %v, %v", known, err)
	}
}

func TestLacks(t *testing.T) {
	for _, c := range []struct {
		first, last, messages, begin uint64
		whole                        bool
	}{
		{0, 0, 0, 1, true}, {1, 0, 0, 1, true}, {1, 1, 1, 1, true}, {1, 500, 500, 1, true},
		{2, 500, 499, 1, false}, {501, 500, 0, 1, false}, {1, 500, 499, 1, false}, {0, 500, 0, 1, false},
		{400, 500, 101, 400, true}, {300, 500, 201, 400, true}, {501, 500, 0, 501, true},
		{401, 500, 100, 400, false}, {400, 500, 100, 400, false}, {501, 500, 0, 400, false},
	} {
		if err := lacks(c.first, c.last, c.messages, c.begin); (err == nil) != c.whole || err != nil && !errors.Is(err, ErrIncomplete) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
