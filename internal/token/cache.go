package token

import (
	"sync"
	"sync/atomic"
)

// Entry is what the cache knows of a token that passed the gate.
type Entry struct {
	Expires uint32  // Unix seconds
	Session uint32  // index of the session's live flag
	Claims  *Claims // shared, read only
}

// Cache remembers tokens that passed the gate, so that they need not pass it again. It holds no token, only a tag of each
// under a key that never leaves it, and skips nothing but the signature: expiry, revocation and lease are the caller's to
// check every time.
//
// It is bounded: of the tokens that were used last, half of the maximum (less half a percent) are kept, and never more than
// the maximum. A token takes 64 to 128 bytes of table besides its claims, which are about 450 bytes.
//
// Two tables hold the entries. The current one takes them in until it is half full; then it becomes the previous one and
// a new one begins. What is found in the previous table is put into the current one; what nobody asks for is gone with
// the next change. While the tables still grow nothing is lost: each insertion also moves a few old entries.
//
// Lookup takes no lock and waits for nobody. Insert takes a mutex.
type Cache struct {
	tagger *tagger
	tables atomic.Pointer[tables]

	// mu guards every write to a table and to tables, and the fields below.
	mu    sync.Mutex
	limit int // entries in a table of final size: those in the first one, doubled as often as tables grow
}

// tables is what a reader works on: one load gives it both.
type tables struct {
	current, previous *table // previous may be nil
}

// table is open addressing with linear probing. It is at most half full, so that a probe ends soon and always.
//
// A slot is written once and never reused: an entry lives until its table is dropped as a whole, and a reader that still
// walks a dropped table finds what was true. So readers need no lock, and there is no ABA. Only Session may change in a
// published slot, together with Expires in one atomic word, and the claims: any of their values belongs to the same token.
type table struct {
	slots []slot
	mask  uint64

	// Guarded by Cache.mu.
	used  int
	limit int // a new table begins when used reaches it
	moved int // slots of the previous table that have been copied, while the tables grow
}

// slot is half a cache line. lo is stored last and loaded first, and Go's atomics are sequentially consistent: a reader
// that sees lo sees the rest as it was stored before. lo of an empty slot is 0; lo of a tag never is.
type slot struct {
	lo, hi atomic.Uint64
	meta   atomic.Uint64 // Expires << 32 | Session
	claims atomic.Pointer[Claims]
}

// firstSlots is the size of the first table: 32 kB.
const firstSlots = 1024

// moves is how many slots of the previous table an insertion looks at while the tables grow. A table of double size takes
// in all old entries and as many new ones as the old one had slots half full, so two would do.
const moves = 4

// NewCache returns a cache of at most maxTokens tokens. With less than 2 it remembers nothing.
func NewCache(maxTokens int) *Cache {
	first, doublings := maxTokens/2, 0
	for first > firstSlots/2 {
		first /= 2
		doublings++
	}
	c := &Cache{tagger: newTagger(), limit: first << doublings}
	if first > 0 {
		c.tables.Store(&tables{current: newTable(firstSlots, first)})
	}
	return c
}

// newTable returns an empty table. slots is a power of two and at least twice the limit.
func newTable(slots, limit int) *table {
	return &table{slots: make([]slot, slots), mask: uint64(slots - 1), limit: limit}
}

// Lookup returns what was inserted for exactly this token. It allocates nothing.
func (c *Cache) Lookup(token string) (Entry, bool) {
	ts := c.tables.Load()
	if ts == nil {
		return Entry{}, false
	}
	lo, hi, ok := c.tagger.tag(token)
	if !ok {
		return Entry{}, false
	}
	if s := ts.current.find(lo, hi); s != nil {
		return s.entry(), true
	}
	if ts.previous == nil {
		return Entry{}, false
	}
	s := ts.previous.find(lo, hi)
	if s == nil {
		return Entry{}, false
	}
	e := s.entry()
	// Somebody else is writing: then the next hit keeps the entry alive.
	if c.mu.TryLock() {
		c.put(lo, hi, e, false)
		c.mu.Unlock()
	}
	return e, true
}

// Insert remembers a token that passed the gate. Any goroutine may call it. The claims of a token never change; Expires and
// Session may, and the last Insert counts. Where claims do change, for a credential that is no token, a Lookup may return
// those of one Insert with the Session of another: the caller must be able to tell. A session index may serve another session only when all tokens that were
// inserted with it have expired: the cache forgets none of them on demand.
func (c *Cache) Insert(token string, e Entry) {
	lo, hi, ok := c.tagger.tag(token)
	if !ok || c.limit <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(lo, hi, e, true)
}

// put inserts an entry, or updates the one that is in the current table if newer says that e is. c.mu is held.
func (c *Cache) put(lo, hi uint64, e Entry, newer bool) {
	ts := c.tables.Load()
	if s := ts.current.find(lo, hi); s != nil {
		if newer {
			s.claims.Store(e.Claims)
			s.meta.Store(e.meta())
		}
		return
	}
	if ts.current.used >= ts.current.limit {
		ts = c.turn(ts.current)
	}
	ts.current.add(lo, hi, e)
	if ts.previous != nil && len(ts.previous.slots) < len(ts.current.slots) {
		if ts.current.move(ts.previous) {
			c.tables.Store(&tables{current: ts.current})
		}
	}
}

// turn begins a new table. c.mu is held.
func (c *Cache) turn(old *table) *tables {
	slots, limit := len(old.slots), old.limit
	if limit < c.limit {
		slots, limit = 2*slots, 2*limit
	}
	ts := &tables{current: newTable(slots, limit), previous: old}
	c.tables.Store(ts)
	return ts
}

// find returns the slot of a tag, nil if there is none.
func (t *table) find(lo, hi uint64) *slot {
	for i := hi; ; i++ {
		s := &t.slots[i&t.mask]
		switch s.lo.Load() {
		case lo:
			if s.hi.Load() == hi {
				return s
			}
		case 0:
			return nil
		}
	}
}

// add writes an entry that is not in the table to the first empty slot. Cache.mu is held.
func (t *table) add(lo, hi uint64, e Entry) {
	i := hi & t.mask
	for t.slots[i].lo.Load() != 0 {
		i = (i + 1) & t.mask
	}
	s := &t.slots[i]
	s.hi.Store(hi)
	s.meta.Store(e.meta())
	s.claims.Store(e.Claims)
	s.lo.Store(lo)
	t.used++
}

// move copies the next few entries of the smaller table from, unless a newer one is here. It reports whether from is done
// with. Cache.mu is held.
func (t *table) move(from *table) (done bool) {
	for range moves {
		if t.moved == len(from.slots) {
			return true
		}
		if t.used >= t.limit {
			return false
		}
		s := &from.slots[t.moved]
		t.moved++
		if lo, hi := s.lo.Load(), s.hi.Load(); lo != 0 && t.find(lo, hi) == nil {
			t.add(lo, hi, s.entry())
		}
	}
	return false
}

func (s *slot) entry() Entry {
	meta := s.meta.Load()
	return Entry{Expires: uint32(meta >> 32), Session: uint32(meta), Claims: s.claims.Load()}
}

func (e Entry) meta() uint64 { return uint64(e.Expires)<<32 | uint64(e.Session) }
