package node

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/token"
)

// maxRemembered bounds the secrets that are remembered: about 5 MB.
const maxRemembered = 1 << 13

// remembered are secrets that were right, so that the slow hash is not computed on every request. An entry holds for an account
// or a client as it was at a sequence; of a secret it has nothing but a MAC under a key that never leaves this replica's
// memory. The zero value has no key yet.
type remembered struct {
	key     []byte
	mu      sync.Mutex
	entries map[secretOwner]rememberedSecret
	trials  map[trialKey]*trial
	busy    map[secretOwner]int // how many trials there are
}

// secretOwner is what a secret opens, at a network that guesses at it are counted for. The id is that of a user, zero for a name
// that nobody has, or the hash of a client's id.
type secretOwner struct {
	id      events.ID
	network uint64
}

type secretMAC [sha256.Size]byte

type rememberedSecret struct {
	seq    uint64
	mac    secretMAC
	claims *token.Claims // nil for a client
	missed bool          // compared with something else, and no guess was looked at since
}

// trialKey names a guess upon what there is at a sequence, which is 0 for a name that nobody has.
type trialKey struct {
	owner secretOwner
	mac   secretMAC
	seq   uint64
}

// trial is a hash that is being computed. ok and err are final when done is closed.
type trial struct {
	done chan struct{}
	ok   bool
	err  error
}

// macOf returns the MAC of a name and its secret.
func (m *remembered) macOf(name, secret string) secretMAC {
	h := hmac.New(sha256.New, m.key)
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(name)))
	h.Write(size[:])
	h.Write([]byte(name))
	h.Write([]byte(secret))
	return secretMAC(h.Sum(nil))
}

// find returns what a secret opens that was right for owner at seq. While somebody guesses there, nothing is found, and neither after
// a miss until a guess from there was reserved and looked at: one that is shed costs nothing, and whoever compares what is remembered
// with many secrets would find it out.
func (m *remembered) find(owner secretOwner, seq uint64, mac secretMAC) (rememberedSecret, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[owner]
	switch {
	case !ok || e.seq != seq || e.missed || m.busy[owner] > 0:
		return rememberedSecret{}, false
	case hmac.Equal(e.mac[:], mac[:]):
		return e, true
	}
	other := m.entries[owner.old()] // both secrets of a client may be in use
	if !hmac.Equal(other.mac[:], mac[:]) {
		e.missed = true
		m.entries[owner] = e
	}
	return rememberedSecret{}, false
}

// forgetMiss notes that a guess at owner was looked at. m.mu is held.
func (m *remembered) forgetMiss(owner secretOwner) {
	if e, ok := m.entries[owner]; ok {
		e.missed = false
		m.entries[owner] = e
	}
}

// add remembers a secret that was right.
func (m *remembered) add(owner secretOwner, e rememberedSecret) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries == nil {
		m.entries = map[secretOwner]rememberedSecret{}
	}
	if _, known := m.entries[owner]; !known && len(m.entries) >= maxRemembered {
		for other := range m.entries { // any one
			delete(m.entries, other)
			break
		}
	}
	m.entries[owner] = e
}

// begin returns the trial of a guess, and whether the caller has to carry it out.
func (m *remembered) begin(key trialKey) (t *trial, first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.trials[key]; t != nil {
		return t, false
	}
	if m.trials == nil {
		m.trials, m.busy = map[trialKey]*trial{}, map[secretOwner]int{}
	}
	t = &trial{done: make(chan struct{})}
	m.trials[key] = t
	m.busy[key.owner]++
	return t, true
}

// end tells everybody what came of a trial.
func (m *remembered) end(key trialKey, t *trial, ok bool, err error) {
	m.mu.Lock()
	delete(m.trials, key)
	if m.busy[key.owner]--; m.busy[key.owner] == 0 {
		delete(m.busy, key.owner)
	}
	if err == nil { // it was reserved, and looked at
		m.forgetMiss(key.owner)
		m.forgetMiss(key.owner.old())
	}
	m.mu.Unlock()
	t.ok, t.err = ok, err
	close(t.done)
}

// share reports whether a guess is right. Who makes the same guess at the same time, from one network, shares one hash, one
// reservation and one note of its failure, also where there is nothing to be opened: the numbers of hashes would tell that.
func (n *Node) share(ctx context.Context, m *remembered, key trialKey, guess func(context.Context) (bool, error)) (bool, error) {
	t, first := m.begin(key)
	if first {
		// Whoever came first may hang up; the others still want to know.
		shared := context.WithoutCancel(ctx)
		if !n.work.Go(func() { n.carryOut(shared, m, key, t, guess) }) {
			m.end(key, t, false, ErrClosed)
		}
	}
	select {
	case <-t.done:
		return t.ok, t.err
	case <-ctx.Done():
		return false, busy(ctx.Err())
	}
}

// carryOut is a trial.
func (n *Node) carryOut(ctx context.Context, m *remembered, key trialKey, t *trial, guess func(context.Context) (bool, error)) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	ok, err := guess(ctx)
	m.end(key, t, ok, err)
}
