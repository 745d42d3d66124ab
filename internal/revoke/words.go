package revoke

import "sync/atomic"

// Words holds one live flag for each session index. It is the last thing that stands between a verified token and its
// acceptance, so the zero value, and an index that was never set, say no.
//
// One goroutine writes. Readers take no lock; a Live that starts after Set returned sees what Set did. Flags are bits, so
// that those of a million sessions fit a processor's second cache.
type Words struct {
	// chunks is replaced by a longer copy when room is needed. The chunks themselves never move: a reader with the old
	// slice reads and the writer writes the same words.
	chunks atomic.Pointer[[]*chunk]
}

// chunkBits is the number of flags in a chunk: 8 kB of them.
const chunkBits = 1 << 16

type chunk [chunkBits / 64]atomic.Uint64

// Live reports whether i was set live.
func (w *Words) Live(i uint32) bool {
	chunks := w.chunks.Load()
	if chunks == nil || i/chunkBits >= uint32(len(*chunks)) {
		return false
	}
	c := (*chunks)[i/chunkBits]
	return c[i%chunkBits/64].Load()>>(i%64)&1 != 0
}

// Set sets the flag of i, and makes room for it and all indexes below where needed: callers number from 0 without large
// gaps. Only the single writer calls it.
func (w *Words) Set(i uint32, live bool) {
	chunks := w.chunks.Load()
	if chunks == nil || i/chunkBits >= uint32(len(*chunks)) {
		if !live {
			return
		}
		chunks = w.grow(int(i/chunkBits) + 1)
	}
	// One writer: nothing happens between the load and the store.
	word := &(*chunks)[i/chunkBits][i%chunkBits/64]
	if live {
		word.Store(word.Load() | 1<<(i%64))
	} else {
		word.Store(word.Load() &^ (1 << (i % 64)))
	}
}

// grow makes room for n chunks.
func (w *Words) grow(n int) *[]*chunk {
	longer := make([]*chunk, 0, n)
	if old := w.chunks.Load(); old != nil {
		longer = append(longer, *old...)
	}
	for len(longer) < n {
		longer = append(longer, new(chunk))
	}
	w.chunks.Store(&longer)
	return &longer
}
