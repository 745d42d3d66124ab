package revoke

import "testing"

// FuzzSet runs a list of operations against a map. Two bytes are one operation: what to do and to which id, and how much
// later the clock and the expiry are.
func FuzzSet(f *testing.F) {
	f.Add([]byte("a1b2c3d4"), false)
	f.Add([]byte("\x00\x10\x01\xff\x02\x00\xff\x80\x00\x00"), true)
	f.Add(make([]byte, 400), true)
	f.Fuzz(func(t *testing.T, ops []byte, spread bool) {
		type entry struct {
			seq     uint64
			expires int64
		}
		s, model := NewSet(), map[uint64]entry{}
		clock, seq := int64(now), uint64(0)
		for ; len(ops) >= 2; ops = ops[2:] {
			op, arg := ops[0], int64(ops[1])
			seq++
			if op >= 0xf0 {
				// Up to 8 minutes, and now and then months.
				clock += arg * 2
				if arg > 250 {
					clock += 100 * 86400
				}
				s.Purge(clock)
			} else {
				n := uint64(op) * 31 % 997
				expires := clock + arg*arg
				s.Insert(idOf(n, spread), seq, expires)
				old, ok := model[n]
				// Present or not, an entry that expired may have been purged.
				if got, _ := s.Lookup(idOf(n, spread)); got != seq && (!ok || got != old.seq) {
					t.Fatalf("id %d has %d, want %d or %d", n, got, seq, old.seq)
				} else {
					model[n] = entry{got, max(expires, old.expires)}
				}
			}
			for n, e := range model {
				got, ok := s.Lookup(idOf(n, spread))
				switch {
				case ok && got != e.seq:
					t.Fatalf("id %d has %d, want %d", n, got, e.seq)
				case !ok && e.expires >= clock:
					t.Fatalf("id %d is gone before it expired", n)
				case !ok:
					delete(model, n)
				}
			}
			if s.Len() != len(model) {
				t.Fatalf("Len %d, want %d", s.Len(), len(model))
			}
		}
		s.Purge(clock + 300*86400)
		s.Purge(clock + 600*86400)
		if s.Len() != 0 {
			t.Fatalf("%d entries never expire", s.Len())
		}
	})
}
