// Package revoke owns what a verifier looks into: the set of revoked ids, and the live flags of sessions. Both have one
// writer, the apply loop, and any number of readers, which never lock.
//
// It does not know what the ids stand for, and reads no clock.
package revoke

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync/atomic"
)

// Set maps revoked ids to the log sequence of their revocation. It forgets nothing by itself.
//
// One goroutine writes: it calls Insert and Purge. All other methods may be called by anyone at any time; a Lookup that
// starts after Insert returned sees what Insert did.
//
// The ids are spread over shards, each a table of its own: what a growing table copies at once is a 64th of the set.
type Set struct {
	seed   [2]uint64
	shards [shards]atomic.Pointer[table] // nil: empty
	len    atomic.Int64
	bytes  atomic.Int64
	purged int64 // time of the last purge, 0 before it; used by the writer only
}

const shards = 64

// NewSet returns an empty set.
func NewSet() *Set { return &Set{seed: [2]uint64{rand.Uint64(), rand.Uint64()}} }

// Lookup returns the sequence at which id was revoked. ok is false if it was not, or if that has been purged.
func (s *Set) Lookup(id [16]byte) (seq uint64, ok bool) {
	k := s.keyOf(id)
	t := s.shard(k).Load()
	if t == nil {
		return 0, false
	}
	e, found := t.find(k)
	if !found {
		return 0, false
	}
	return e.value.Load() >> expiryBits, true
}

// Insert records that id was revoked at seq, which must be at least 1 and less than 2^44: at 26,000 a second, that is 21
// years. The entry may be purged after expires (Unix seconds). The first revocation of an id wins: a later one only
// extends expires.
func (s *Set) Insert(id [16]byte, seq uint64, expires int64) {
	if seq == 0 || seq > maxSeq {
		// A wrong sequence would let a logout return too early.
		panic("revoke: sequence out of range")
	}
	k := s.keyOf(id)
	shard := s.shard(k)
	t := shard.Load()
	if t == nil {
		near := s.purged
		if near == 0 {
			near = expires
		}
		t = newTable(1, baseFor(near))
		s.replace(shard, nil, t)
	}
	e, found := t.find(k)
	if found {
		v := e.value.Load()
		e.value.Store(v&^expiryMask | max(v&expiryMask, t.pack(expires)))
		return
	}
	if t.used == t.limit {
		full := t
		t = s.rebuild(full, full.used, full.base, keepAll)
		s.replace(shard, full, t)
		e, _ = t.find(k)
	}
	t.used++
	e.write(k, seq<<expiryBits|t.pack(expires))
	s.len.Add(1)
}

// Purge forgets entries that expired before now (Unix seconds). It keeps those of a shard until they are worth the work.
func (s *Set) Purge(now int64) {
	if now < s.purged+expiryUnit {
		return
	}
	s.purged = now
	for i := range s.shards {
		t := s.shards[i].Load()
		if t == nil {
			continue
		}
		live := t.count(now)
		expired := t.used - live
		if (expired == 0 || expired < t.used/4) && !t.aged(now) {
			continue
		}
		var next *table
		if live > 0 {
			next = s.rebuild(t, live, baseFor(now), now)
		}
		s.replace(&s.shards[i], t, next)
	}
}

// rebuild returns a table of the entries of t that expire at or after now, with room for a fifth more.
func (s *Set) rebuild(t *table, entries int, base, now int64) *table {
	next := newTable(entries, base)
	var id [16]byte
	for i := range t.slots {
		old := &t.slots[i]
		v := old.value.Load()
		if v == 0 || t.expires(v) < now {
			continue
		}
		binary.LittleEndian.PutUint64(id[:8], old.lo.Load())
		binary.LittleEndian.PutUint64(id[8:], old.hi.Load())
		k := s.keyOf(id)
		e, _ := next.find(k)
		e.write(k, v&^expiryMask|next.pack(t.expires(v)))
		next.used++
	}
	return next
}

// Entry is one revocation.
type Entry struct {
	ID      [16]byte
	Seq     uint64
	Expires int64 // Unix seconds, rounded up as the set has it
}

// Entries returns the entries that expire at or after now, by id. The writer alone calls it. Inserted into an empty set they give
// the same entries again.
func (s *Set) Entries(now int64) []Entry {
	list := make([]Entry, 0, s.Len())
	for i := range s.shards {
		t := s.shards[i].Load()
		if t == nil {
			continue
		}
		for j := range t.slots {
			slot := &t.slots[j]
			v := slot.value.Load()
			if v == 0 || t.expires(v) < now {
				continue
			}
			e := Entry{Seq: v >> expiryBits, Expires: t.expires(v)}
			binary.LittleEndian.PutUint64(e.ID[:8], slot.lo.Load())
			binary.LittleEndian.PutUint64(e.ID[8:], slot.hi.Load())
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b Entry) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return list
}

// Len returns the number of entries.
func (s *Set) Len() int { return int(s.len.Load()) }

// Bytes returns the memory that the entries take.
func (s *Set) Bytes() int { return int(s.bytes.Load()) }

// replace publishes a shard's next table. Readers of the old one see a set that was current when they began.
func (s *Set) replace(shard *atomic.Pointer[table], old, next *table) {
	for _, c := range []struct {
		t    *table
		sign int64
	}{{old, -1}, {next, 1}} {
		if c.t != nil {
			s.len.Add(c.sign * int64(c.t.used))
			s.bytes.Add(c.sign * int64(len(c.t.slots)*slotSize))
		}
	}
	shard.Store(next)
}

// key is an id and where it belongs.
type key struct{ lo, hi, hash uint64 }

// keyOf hashes id with the set's seed: ids are random today, but nobody who may choose one shall be able to aim at a slot.
func (s *Set) keyOf(id [16]byte) key {
	lo, hi := binary.LittleEndian.Uint64(id[:8]), binary.LittleEndian.Uint64(id[8:])
	h, l := bits.Mul64(lo^s.seed[0], hi^s.seed[1])
	return key{lo, hi, h ^ l}
}

// shard takes the low bits of the hash, and table.find the high ones.
func (s *Set) shard(k key) *atomic.Pointer[table] { return &s.shards[k.hash%shards] }
