package node

import (
	"encoding/binary"
	"hash/fnv"
	"sync"

	"github.com/knell-auth/knell/events"
)

// An index says in which blocks of the log there may be events that name a user, a session, a client or a subject, so that a timeline is
// not looked for in all of it. The apply loop notes each message before anybody may read up to it. It is no part of the state: what was
// not noted in this life, because the replica began from a snapshot, may name anybody.
type index struct {
	mu     sync.RWMutex
	begin  uint64        // messages from this one on have been noted; 0: none
	base   uint64        // number of blocks[0]
	blocks []*indexBlock // nil: no public event
}

const (
	blockEvents = 1024
	blockBits   = 16 * blockEvents // two keys an event with two bits each fill a quarter: one block of twenty is read in vain
)

// indexBlock is a Bloom filter of what a block of the log names.
type indexBlock [blockBits / 64]uint64

// indexKey stands for somebody who may be looked for.
type indexKey uint64

// everybody is named by events that concern all.
const everybody indexKey = 1

// idKey returns the key of an id. Ids are random.
func idKey(id events.ID) indexKey { return indexKey(binary.LittleEndian.Uint64(id[:])) }

// textKey returns the key of a subject, an actor or a client, which may be an id.
func textKey[T string | []byte](text T) indexKey {
	if id, err := events.ParseID(string(text)); err == nil {
		return idKey(id)
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return indexKey(h.Sum64())
}

func (b *indexBlock) add(k indexKey) {
	for _, bit := range k.bits() {
		b[bit/64] |= 1 << (bit % 64)
	}
}

func (b *indexBlock) has(k indexKey) bool {
	for _, bit := range k.bits() {
		if b[bit/64]&(1<<(bit%64)) == 0 {
			return false
		}
	}
	return true
}

func (k indexKey) bits() [2]uint64 {
	return [2]uint64{uint64(k) % blockBits, uint64(k) >> 32 % blockBits}
}

// note takes the next message of the log, and what it says.
func (x *index) note(m *events.Message, f *events.Facts) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.begin == 0 {
		x.begin, x.base = m.Seq, m.Seq/blockEvents
	}
	if events.AccessTo(m.Subject) != events.Public || !f.Public() {
		return
	}
	at := int(m.Seq/blockEvents - x.base)
	for len(x.blocks) <= at {
		x.blocks = append(x.blocks, nil)
	}
	b := x.blocks[at]
	if b == nil {
		b = new(indexBlock)
		x.blocks[at] = b
	}
	for _, id := range [...]events.ID{f.User, f.Session} {
		if !id.IsZero() {
			b.add(idKey(id))
		}
	}
	for _, text := range [...][]byte{f.Subject, f.Actor, f.Client} {
		if len(text) > 0 {
			b.add(textKey(text))
		}
	}
	if events.Type(f.Type) == events.TypeAllRevoked {
		b.add(everybody)
	}
}

// run returns the first stretch of the log behind after, up to upTo at most, whose blocks may all have what is looked for: events behind
// from, up to and with to. With nothing more to read, both are upTo.
func (x *index) run(after, upTo uint64, may func(*indexBlock) bool) (from, to uint64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	from = after
	for from < upTo && !x.candidate((from+1)/blockEvents, may) {
		from = min(((from+1)/blockEvents+1)*blockEvents-1, upTo)
	}
	for to = from; to < upTo && x.candidate((to+1)/blockEvents, may); {
		to = min(((to+1)/blockEvents+1)*blockEvents-1, upTo)
	}
	return from, to
}

// candidate reports whether a block has to be read. x.mu is held.
func (x *index) candidate(block uint64, may func(*indexBlock) bool) bool {
	if x.begin == 0 || block*blockEvents < x.begin && block > 0 || block < x.base {
		return true // not all of it was noted
	}
	at := block - x.base
	return at < uint64(len(x.blocks)) && x.blocks[at] != nil && may(x.blocks[at])
}

// forget drops what is said about blocks that end before first: the log has them no more.
func (x *index) forget(first uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n := first / blockEvents; n > x.base {
		gone := min(n-x.base, uint64(len(x.blocks)))
		x.blocks = append([]*indexBlock(nil), x.blocks[gone:]...)
		x.base += gone
	}
}
