package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
)

// startAt starts a replica whose build knows the schema level.
func (r *rig) startAt(name string, level uint32) (*Node, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	n, err := startAt(ctx, r.config(name), level)
	if err == nil {
		r.nodes[name] = n
	}
	return n, err
}

// leave ends a replica cleanly.
func (r *rig) leave(name string) {
	r.t.Helper()
	if err := r.nodes[name].Close(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	delete(r.nodes, name)
}

// mixed runs f with the replicas a and b at schema level 2, c at level 1, and the user alice.
func mixed(t *testing.T, f func(t *testing.T, r *rig)) { mixedAt(t, 2, f) }

// mixedAt is mixed for another level than 2, and the one before it.
func mixedAt(t *testing.T, newer uint32, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for name, level := range map[string]uint32{"a": newer, "b": newer, "c": newer - 1} {
			must(r.startAt(name, level))(t)
		}
		r.user("alice", alicePassword)
		f(t, r)
	})
}

// heldBack fails the test unless the replica at refuses to raise the level, because of the replica named.
func (r *rig) heldBack(at, by string) {
	r.t.Helper()
	var older *OlderError
	if err := r.nodes[at].reachLevel(context.Background(), 2); !errors.As(err, &older) || fmt.Sprint(older.Replicas) != "["+by+"]" {
		r.t.Errorf("%s: got %v, want an OlderError that names %s", at, err, by)
	}
}

// reached fails the test unless every replica can write at level 2, and one event was enough for that.
func (r *rig) reached() {
	r.t.Helper()
	for name, n := range r.nodes {
		if err := n.reachLevel(context.Background(), 2); err != nil {
			r.t.Errorf("%s: %v", name, err)
		}
		synctest.Wait() // so that the others have heard of it
	}
	if n := r.count(events.TypeLevelRaised); n != 1 {
		r.t.Errorf("the log has %d events that raise its level, want one", n)
	}
}

func (r *rig) count(typ events.Type) (n int) {
	for _, m := range r.log.Messages() {
		n += bytes.Count(m.Data, []byte(`"type":"knell.`+string(typ)+`"`))
	}
	return n
}

// While replicas are replaced one by one, nothing is written that the older ones cannot read; the way back is open until then, and
// shut afterwards.
func TestRollingUpgrade(t *testing.T) {
	mixed(t, func(t *testing.T, r *rig) {
		tok := r.login("c")
		r.heldBack("a", "c")
		if n := r.count(events.TypeLevelRaised); n != 0 {
			t.Errorf("%d events were written to find that out", n)
		}
		r.leave("b")
		must(r.startAt("b", 1))(t) // back
		r.leave("c")
		must(r.startAt("c", 2))(t)
		r.heldBack("a", "b")
		r.heldBack("c", "b")
		r.leave("b")
		must(r.startAt("b", 2))(t)
		r.reached()
		time.Sleep(10 * time.Second) // a checkpoint is written
		r.leave("c")
		joined := r.count(events.TypeNodeJoined)
		if _, err := r.startAt("c", 1); !errors.Is(err, events.ErrNewer) || !strings.Contains(err.Error(), "data directory") {
			t.Errorf("an older build on the directory of a newer one: %v", err)
		}
		if r.count(events.TypeNodeJoined) != joined {
			t.Error("it joined before it knew")
		}
		if _, err := r.startAt("d", 1); !errors.Is(err, events.ErrNewer) || !strings.Contains(err.Error(), "level 2") {
			t.Errorf("an older build on an empty directory: %v", err)
		}
		r.accepted(tok)
		r.same()
		must(r.startAt("c", 2))(t)
		r.accepted(tok)
		r.same()
	})
}

// An older replica that died counts until its lease and a minute are over, or until another life has its directory.
func TestDeadOlderReplica(t *testing.T) {
	mixed(t, func(t *testing.T, r *rig) {
		r.kill("c")
		r.heldBack("a", "c")
		time.Sleep(time.Minute + 5*time.Second)
		r.reached()
	})
	mixed(t, func(t *testing.T, r *rig) {
		r.kill("c")
		must(r.startAt("c", 2))(t)
		r.reached()
	})
}

// An older replica that joins between the look and the append comes before the event in the log: it goes on, and nothing is
// written that it could not read.
func TestOlderReplicaJoinsFirst(t *testing.T) {
	mixed(t, func(t *testing.T, r *rig) {
		r.leave("c")
		r.links["a"].OnAppend(func(e *events.Event) eventstest.Fault {
			if e.Data.Type() == events.TypeLevelRaised && r.nodes["d"] == nil {
				must(r.startAt("d", 1))(t)
			}
			return eventstest.Fault{}
		})
		r.heldBack("a", "d")
		r.heldBack("b", "d")
		r.accepted(r.login("d"))
		r.same()
	})
}

// One that comes after it reads that it must not go on, from an event that it knows, before it has held a lease.
func TestOlderReplicaJoinsSecond(t *testing.T) {
	mixed(t, func(t *testing.T, r *rig) {
		var out bytes.Buffer
		r.leave("c")
		r.out = &out
		cfg := r.config("d")
		r.links["d"].OnAppend(func(e *events.Event) eventstest.Fault {
			if e.Data.Type() == events.TypeNodeJoined {
				r.reached()
			}
			return eventstest.Fault{}
		})
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := startAt(ctx, cfg, 1); !errors.Is(err, events.ErrNewer) {
			t.Errorf("got %v, want ErrNewer", err)
		}
		if !strings.Contains(out.String(), "fenced for good") || !strings.Contains(out.String(), "the log is at schema level 2, and this version of knell knows 1") {
			t.Errorf("its log does not say why:\n%s", out.String())
		}
		r.accepted(r.login("b"))
		r.same()
	})
}

// One that was cut off for so long that the others went on without it accepts nothing that ended meanwhile, and says why it ends.
func TestOlderReplicaWakesUp(t *testing.T) {
	mixed(t, func(t *testing.T, r *rig) {
		c, tok := r.nodes["c"], r.login("c")
		r.links["c"].Cut()
		time.Sleep(2 * time.Minute)
		if err := r.nodes["a"].reachLevel(context.Background(), 2); err != nil {
			t.Fatal(err)
		}
		if err := r.nodes["b"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.links["c"].Heal()
		<-c.Fenced()
		if s := c.Status(); s.Ready || !strings.Contains(s.Fenced, "schema level 2") {
			t.Errorf("%+v", s)
		}
		if _, err := c.Verify(context.Background(), tok.AccessToken); !errors.Is(err, ErrNotCurrent) {
			t.Errorf("got %v, want ErrNotCurrent", err)
		}
		c.stop()
		delete(r.nodes, "c")
		r.refused(tok, ErrRevoked)
		r.same()
	})
}

// later returns an event as a later version writes it.
func (r *rig) later(optional string) []byte {
	n := r.nodes["a"]
	return fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/knell/a","type":"knell.account.moved",`+
		`"time":"2026-01-02T03:04:05Z",%s"level":9,"epoch":%q,"data":{"to":"moon"}}`, events.NewID(), optional, n.epoch())
}

// What a replica cannot read it does not skip: it answers 503 from then on, and says which event it was.
func TestEventOfLaterVersion(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		seq := r.log.Put("knell.event.account.000", r.later(""))
		for name, n := range r.nodes {
			<-n.Fenced()
			want := fmt.Sprintf(`message %d: %v: type "account.moved" at schema level 9, this build knows %d`, seq, events.ErrNewer, events.Level)
			if s := n.Status(); !strings.Contains(s.Fenced, want) {
				t.Errorf("%s is fenced by %q, want %q", name, s.Fenced, want)
			}
			if _, err := n.Verify(context.Background(), tok.AccessToken); !errors.Is(err, ErrNotCurrent) {
				t.Errorf("%s: got %v, want ErrNotCurrent", name, err)
			}
		}
	})
}

// An optional one it passes over, as the others do, and goes on; who reads the log sees that there was one.
func TestOptionalEventOfLaterVersion(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		seq := r.log.Put("knell.event.account.000", r.later(`"optional":true,`))
		r.accepted(r.login("b"))
		r.accepted(tok)
		r.same()
		seen := ""
		end, err := r.nodes["c"].ReadLog(context.Background(), seq-1, 0, func(e LogEntry) error {
			if e.Seq == seq {
				seen = e.Type + e.Void
			}
			return nil
		})
		if err != nil || seen != "knell.account.moved" || end.Digest != end.Applied {
			t.Errorf("seen %q, %+v, %v", seen, end, err)
		}
	})
}

// CheckDir knows before anything else is opened that a directory is of a later version, whether of its log or of its file.
func TestDirectoryOfLaterVersion(t *testing.T) {
	dir := t.TempDir()
	if err := CheckDir(dir); err != nil {
		t.Errorf("empty: %v", err)
	}
	id := must(loadIdentity(dir, "EdDSA"))(t)
	for level, good := range map[uint32]bool{0: true, events.Level: true, events.Level + 1: false} {
		id.Checkpoint = mark{Seq: 7, Level: level}
		if err := id.save(dir); err != nil {
			t.Fatal(err)
		}
		if err := CheckDir(dir); (err == nil) != good || err != nil && !errors.Is(err, events.ErrNewer) {
			t.Errorf("level %d: %v", level, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, identityFile), []byte(`{"format":2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CheckDir(dir); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("another format: %v", err)
	}
}
