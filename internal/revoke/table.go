package revoke

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// table is open addressing with linear probing. Its size is no power of two, so that it can grow by a fifth at a time and
// stay between 5/8 and 3/4 full: 24 bytes a slot are then 32 to 38.4 bytes an entry, where doubling would swing between 32
// and 64. Fuller tables would save little and make a miss walk far: at 3/4 it looks at 8.5 slots on average, at 5/8 at
// 4.1, which lie side by side.
//
// Within a table a slot is written once and no entry is removed. Purging and growing build another table.
type table struct {
	slots []slot
	base  int64 // Unix seconds that expiry is counted from

	// Used by the writer only.
	used  int
	limit int // entries that fit
}

// slot is an id with its value. value is stored last and loaded first, and Go's atomics are sequentially consistent: who
// sees a value sees the id. The value of an empty slot is 0, that of a full one never is, because sequences begin at 1.
type slot struct {
	value  atomic.Uint64 // sequence << expiryBits | expiry
	lo, hi atomic.Uint64
}

const slotSize = int(unsafe.Sizeof(slot{}))

// A value has 44 bits of sequence and 20 bits of expiry: units of 64 seconds after the table's base, rounded up. That is a
// range of 2 years, in the middle of which a table begins. A time beyond it counts as never.
const (
	expiryBits  = 20
	expiryUnit  = 64
	expiryMask  = 1<<expiryBits - 1
	expiryRange = expiryUnit << expiryBits // seconds
	never       = 1<<63 - 1                // a time
	keepAll     = -1 << 63                 // a time before which nothing expired
	maxSeq      = 1<<(64-expiryBits) - 1
)

// baseFor returns the base of a table that begins with expiries near t. It is a multiple of the unit: so how an expiry is rounded
// does not depend on when its table was made, and equal sets are equal on all replicas.
func baseFor(t int64) int64 { return t - t%expiryUnit - expiryRange/2 }

// newTable returns a table with room for entries and a few more, 5/8 full with them.
func newTable(entries int, base int64) *table {
	slots := max(8, (entries*8+4)/5)
	return &table{slots: make([]slot, slots), base: base, limit: slots * 3 / 4}
}

// find returns the slot of k, or the empty one where it belongs.
func (t *table) find(k key) (s *slot, found bool) {
	n := uint64(len(t.slots))
	i, _ := bits.Mul64(k.hash, n) // scales the hash to [0, n)
	for {
		s = &t.slots[i]
		if s.value.Load() == 0 {
			return s, false
		}
		if s.lo.Load() == k.lo && s.hi.Load() == k.hi {
			return s, true
		}
		if i++; i == n {
			i = 0
		}
	}
}

// write fills an empty slot.
func (s *slot) write(k key, value uint64) {
	s.lo.Store(k.lo)
	s.hi.Store(k.hi)
	s.value.Store(value)
}

// pack returns the expiry field for a time in Unix seconds. An entry may be kept too long, never too short.
func (t *table) pack(expires int64) uint64 {
	switch {
	case expires <= t.base:
		return 0
	case expires >= t.base+expiryRange-expiryUnit:
		return expiryMask
	}
	return uint64(expires-t.base+expiryUnit-1) / expiryUnit
}

// expires returns the time in the expiry field of a value, in Unix seconds.
func (t *table) expires(value uint64) int64 {
	if value&expiryMask == expiryMask {
		return never
	}
	return t.base + int64(value&expiryMask)*expiryUnit
}

// count returns the number of entries that expire at or after now.
func (t *table) count(now int64) (live int) {
	for i := range t.slots {
		if v := t.slots[i].value.Load(); v != 0 && t.expires(v) >= now {
			live++
		}
	}
	return live
}

// aged reports whether so much of the range has passed that a new base is due.
func (t *table) aged(now int64) bool { return now-t.base > expiryRange/4*3 }
