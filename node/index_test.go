package node

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/knell-auth/knell/events"
)

// Whatever somebody looks for, every block that has it is read, also where the index begins in the middle of the log and after it was
// trimmed; and most of the others are not.
func TestIndexMissesNothing(t *testing.T) {
	const last, first = 64 * blockEvents, 2*blockEvents + 17
	rng := rand.New(rand.NewPCG(1, 2))
	id := func(n uint64) (id events.ID) {
		binary.LittleEndian.PutUint64(id[:], n*0x9e3779b97f4a7c15)
		return id
	}
	var x index
	where := map[uint64][]uint64{} // user to sequences
	for seq := uint64(first); seq <= last; seq++ {
		m := &events.Message{Seq: seq, Subject: "knell.event.session.0"}
		f := &events.Facts{Type: []byte("session.started"), User: id(rng.Uint64N(20000)), Session: id(1<<32 + seq), Actor: []byte("svc")}
		if seq/blockEvents == 9 || seq > last-blockEvents {
			m.Subject = "knell.node.a" // nobody's, for a whole block
		} else {
			n := binary.LittleEndian.Uint64(f.User[:])
			where[n] = append(where[n], seq)
		}
		x.note(m, f)
	}
	check := func(from uint64) {
		t.Helper()
		read, blocks := 0, 0
		for n, seqs := range where {
			at := from
			var ranges [][2]uint64
			for at < last {
				lo, hi := x.run(at, last, func(b *indexBlock) bool { return b.has(indexKey(n)) })
				if lo < at || hi < lo || hi > last {
					t.Fatalf("from %d: %d to %d", at, lo, hi)
				}
				if at = hi; hi > lo {
					ranges = append(ranges, [2]uint64{lo, hi})
					read += int(hi - lo)
				}
			}
			blocks += len(seqs)
			for _, seq := range seqs {
				if seq > from && !slices.ContainsFunc(ranges, func(r [2]uint64) bool { return r[0] < seq && seq <= r[1] }) {
					t.Fatalf("%x at %d is not in %v", n, seq, ranges)
				}
			}
		}
		// Each user is in three blocks of sixty; the three at the beginning are not known, and one of twenty is read in vain.
		if most := (blocks + len(where)*(3+64/8)) * blockEvents; read > most {
			t.Errorf("%d messages are read for %d users, want at most %d", read, len(where), most)
		}
	}
	check(0)
	check(5*blockEvents + 3)
	x.forget(20*blockEvents + 5)
	check(20*blockEvents + 4)
	if len(x.blocks) > 64-20 {
		t.Error("it keeps what the log has no more")
	}
	if lo, hi := x.run(9*blockEvents, last, func(*indexBlock) bool { return false }); lo != 9*blockEvents || hi < 19*blockEvents {
		t.Errorf("what it has forgotten may have anything: %d to %d", lo, hi)
	}
}

// Timelines are the same with the index and without, at a replica that was there and at one that has replayed the log, and few messages
// are read for them.
func TestTimelinesByIndex(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		o := Origin{Actor: "local"}
		bob := r.user("bob", "a long enough one")
		rare := must(r.nodes["a"].Login(ctx, LoginRequest{Name: "bob", Password: "a long enough one"}))(t)
		fill := func() {
			for range 3 * blockEvents {
				e := r.nodes["a"].newEvent(&events.LoginFailed{User: events.NewID(), Cause: "password"}, "filler", o)
				must(r.links["a"].Append(ctx, e))(t)
			}
		}
		fill()
		must0(t, r.nodes["b"].EndSession(ctx, r.login("b").Session, events.ID{}, Origin{Actor: bob.ID.String()}))
		fill()
		must0(t, r.nodes["c"].Revoke(ctx, Revocation{Everything: true}, o))
		fill()
		must0(t, r.nodes["a"].DisableUser(ctx, bob.ID, o))
		fill()
		r.kill("c")
		r.start("c")
		synctest.Wait()
		end := r.nodes["a"].hot.applied.Load()
		if end < 12*blockEvents {
			t.Fatalf("a log of %d messages proves nothing", end)
		}
		for name, q := range map[string]EventQuery{
			"user": {User: bob.ID}, "session": {Session: rare.Session}, "subject": {Subject: bob.ID.String()}, "nobody": {User: events.NewID()},
			"both": {User: bob.ID, Session: rare.Session},
		} {
			want := page(t, r.nodes["b"], q, 1000).got
			for _, n := range []string{"a", "c"} {
				if got := follow(t, r.nodes[n], q, nil); !slices.Equal(page(t, r.nodes[n], q, 3).got, want) {
					t.Errorf("%s at %s: pages differ", name, n)
				} else if synctest.Wait(); !slices.Equal(got.got, want) {
					t.Errorf("%s at %s: %v, want %v", name, n, got.got, want)
				}
			}
			whole := &r.nodes["b"].hot.index
			whole.mu.Lock()
			begin := whole.begin
			whole.begin = 0 // it says nothing now
			whole.mu.Unlock()
			if got := page(t, r.nodes["b"], q, 1000).got; !slices.Equal(got, want) {
				t.Errorf("%s: %v without the index, %v with it", name, got, want)
			}
			whole.mu.Lock()
			whole.begin = begin
			whole.mu.Unlock()
		}
		read := uint64(0)
		m := &matcher{user: bob.ID}
		for at := uint64(0); at < end; {
			from, to := r.nodes["c"].hot.index.run(at, end, m.mayBeIn)
			read, at = read+to-from, to
		}
		if read > end/2+blockEvents {
			t.Errorf("%d messages of %d are read for a user with five events", read, end)
		}
	})
}
