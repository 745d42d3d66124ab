package node

import (
	"sync/atomic"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/merkle"
)

// leafAhead hashes leaves of a batch beside the apply loop, which goes the other way, so that a replay does not take longer for the
// tree. It takes each event for a public one that is not void, as nearly all are; the apply loop knows better, and then hashes itself.
type leafAhead struct {
	batch  []events.Message
	hashes []merkle.Hash
	front  atomic.Int64 // index that the apply loop has reached
	ready  atomic.Int64 // from this index on there are hashes
	ended  chan struct{}
}

// aheadFrom is the length of a batch from which on help is worth a goroutine. Live batches are shorter.
const aheadFrom = 256

// hashAhead begins to hash the leaves of a batch; nil if it is short.
func hashAhead(batch []events.Message) *leafAhead {
	if len(batch) < aheadFrom {
		return nil
	}
	a := &leafAhead{batch: batch, hashes: make([]merkle.Hash, len(batch)), ended: make(chan struct{})}
	a.ready.Store(int64(len(batch)))
	go a.run()
	return a
}

// hashAhead begins to hash the leaves of a batch that is about to be applied. end stops that, and nothing refers to the batch any more.
func (n *Node) hashAhead(batch []events.Message) (end func()) {
	ahead := hashAhead(batch)
	if ahead == nil {
		return func() {}
	}
	use := func(a *leafAhead) {
		n.mu.Lock()
		n.state.leaves.ahead = a
		n.mu.Unlock()
	}
	use(ahead)
	return func() {
		ahead.end()
		use(nil)
	}
}

func (a *leafAhead) run() {
	defer close(a.ended)
	var text []byte
	for i := int64(len(a.batch)) - 1; i > a.front.Load(); i-- {
		if m := &a.batch[i]; events.AccessTo(m.Subject) == events.Public {
			text = events.AppendLeaf(append(text[:0], 0), m.Seq, "", m.Data)
			a.hashes[i] = merkle.LeafHash(text)
		}
		a.ready.Store(i)
	}
}

// find returns the hash of the leaf of a public event that is not void, if it is there already.
func (a *leafAhead) find(seq uint64) (leaf merkle.Hash, ok bool) {
	if a == nil {
		return leaf, false
	}
	i := int64(seq - a.batch[0].Seq)
	a.front.Store(i)
	if i < a.ready.Load() {
		return leaf, false
	}
	return a.hashes[i], true
}

// end stops it and waits for that.
func (a *leafAhead) end() {
	a.front.Store(int64(len(a.batch)))
	<-a.ended
}
