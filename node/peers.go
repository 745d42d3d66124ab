package node

import (
	"fmt"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
)

// observePeer notes what a peer's ping says. The apply loop calls it with k.mu held; it alone reads the ring's newest part.
func (n *Node) observePeer(p *sighting, seq uint64) {
	k := &n.keeping
	known := k.peers[p.Incarnation]
	if known == nil {
		known = &peer{name: p.Node}
		k.peers[p.Incarnation] = known
		if length := millis(p.LeaseMillis); length != n.cfg.Lease && k.serving() {
			n.log.Warn("a replica has another lease; if it falls silent, others wait for the longer one", "node", p.Node, "lease", length, "here", n.cfg.Lease)
		}
	}
	known.lastBeat = seq
	if p.doubted {
		if n.accuses(p) {
			known.doubted = true
			n.log.Error("a beat is not signed by the replica that it names; what it says is not believed",
				"node", known.name, "incarnation", p.Incarnation, "seq", seq)
		}
		return
	}
	if p.genuine {
		known.key, known.counter, known.doubted = p.key, max(known.counter, p.Counter), false
	}
	known.applied = max(known.applied, p.Applied)
	if p.Applied >= seq || !k.inRing(p.Applied, seq) {
		return
	}
	known.digest = otherDigest
	if k.ring[p.Applied%digestRing] == p.Digest {
		known.digest = sameDigest
	}
}

// serving reports whether this replica has had a lease.
func (k *keeping) serving() bool {
	select {
	case <-k.granted:
		return true
	default:
		return false
	}
}

// joining is what a life said when it joined.
type joining struct {
	seq                    uint64
	node, issuer, audience string
}

// excludes reports whether the lives of a and b must not serve at the same time.
func (a joining) excludes(b joining) bool {
	return a.node == b.node || a.issuer != b.issuer || a.audience != b.audience
}

// conflictLocked reports why this replica must not go on beside the one that pinged at seq. Only the younger of the two ends:
// it looks at what the older one says after its own joining. A beat that was appended after that comes from a life that
// goes on.
func (n *Node) conflictLocked(p events.Ping, seq uint64) error {
	me, other := n.keeping.joined[n.life.inc], n.keeping.joined[p.Incarnation]
	switch {
	case me.seq == 0 || seq < me.seq || other.seq == 0 || other.seq > me.seq:
		return nil
	case other.node == n.cfg.Name:
		return fmt.Errorf("another replica named %s is running: give each its own --name", other.node)
	case other.issuer != me.issuer || other.audience != me.audience:
		return fmt.Errorf("replica %s has issuer %q and audience %q, this one %q and %q: they would refuse each other's tokens",
			other.node, other.issuer, other.audience, me.issuer, me.audience)
	}
	return nil
}

// rivalledLocked reports whether this replica must not begin to serve yet: another life may still hold a lease that has this
// replica's name, or that issues tokens which this one would refuse. Either that life pings, and this one ends by
// conflictLocked, or its horizon passes. Once a replica serves, it is the elder.
func (n *Node) rivalledLocked(now fence.Reading) bool {
	k := &n.keeping
	select {
	case <-k.granted:
		return false
	default:
	}
	me := k.joined[n.life.inc]
	for inc := range k.horizons(now) {
		if other, ok := k.joined[inc]; ok && inc != n.life.inc && other.excludes(me) {
			return true
		}
	}
	return false
}

// mayHaveToEndLocked reports whether an older life is among those, so that this one may have to end; and says whom it waits for, once.
func (n *Node) mayHaveToEndLocked(now fence.Reading) bool {
	k := &n.keeping
	if k.serving() {
		return false
	}
	me := k.joined[n.life.inc]
	for inc := range k.horizons(now) {
		other, ok := k.joined[inc]
		if !ok || other.seq >= me.seq || !other.excludes(me) {
			continue
		}
		if !k.warned.rival {
			k.warned.rival = true
			n.log.Warn("another replica with this one's name, or another issuer or audience, may still serve: waiting until it has ended", "node", other.node)
		}
		return true
	}
	return false
}

// divergedLocked reports whether at least half of the live replicas made something else of the log than this one. A minority
// that differs fences itself by the same rule, so that one damaged replica does not stop the others. Peers whose horizon
// has passed are forgotten.
func (k *keeping) divergedLocked(now fence.Reading) bool {
	if k.broken.noDigest {
		return false
	}
	agree, differ := 1, 0
	live := k.horizons(now)
	for inc, p := range k.peers {
		if live[inc] == 0 {
			delete(k.peers, inc)
			continue
		}
		if p.digest == otherDigest {
			differ++
		} else {
			agree++
		}
	}
	return differ >= agree
}

// forgetSilent takes the horizon from lives that were silent for so long, by what the others have lived since, that they hold no lease any
// more: this life has read of them only now, and would wait for them as if they had beaten now. Of those that are said to have left, the
// signature decides. The apply loop calls it, before this life's own beginning.
func (n *Node) forgetSilent() {
	k := &n.keeping
	k.mu.Lock()
	defer k.mu.Unlock()
	for inc := range k.horizons(n.clock.read()) {
		if m, ok := n.state.members[inc]; !ok || !m.gone && !n.state.mayHold(m) {
			k.machine.Ended(fence.Incarnation(inc))
		}
	}
}

// horizons returns how long each other life may still hold a lease. k.mu is held.
func (k *keeping) horizons(now fence.Reading) map[events.ID]time.Duration {
	live := make(map[events.ID]time.Duration, len(k.peers))
	for _, h := range k.machine.Holders(now) {
		if left := h.Until - now.Mono; left > 0 {
			live[events.ID(h.Inc)] = left
		}
	}
	return live
}

// pendingError describes a barrier that its caller does not wait for any more.
func (n *Node) pendingError(seq uint64) error {
	k := &n.keeping
	k.mu.Lock()
	defer k.mu.Unlock()
	now := n.clock.read()
	who, until := k.machine.Pending(seq, now)
	e := &PendingError{Seq: seq, Certain: time.Now().Add(until - now.Mono)}
	for _, inc := range who {
		e.Pending = append(e.Pending, k.nameLocked(inc))
	}
	return e
}

// nameLocked returns the name of the replica that lives this life, or the life's when it is not known.
func (k *keeping) nameLocked(inc fence.Incarnation) string {
	if p := k.peers[events.ID(inc)]; p != nil {
		return p.name
	}
	return events.ID(inc).String()
}

// saveCheckpoint writes down how far this life has come, for the next one to check the log against. A life that was never granted a lease
// may have found that the log is another one than that of the life before, whose mark stands. The keeper calls it, and stop after the
// keeper has ended.
func (n *Node) saveCheckpoint() {
	select {
	case <-n.keeping.granted:
	default:
		return
	}
	n.mu.RLock()
	m := mark{Seq: n.state.seq, Digest: n.state.digest.String(), Epoch: n.state.epoch.String(), Log: n.state.log.String(), Level: n.state.level}
	n.mu.RUnlock()
	saved := &n.keeping.saved
	saved.mu.Lock()
	defer saved.mu.Unlock()
	if m.Seq <= saved.Checkpoint.Seq {
		return
	}
	saved.Checkpoint = m
	if err := saved.save(n.cfg.Dir); err != nil {
		n.log.Warn("checkpoint not saved", "error", err)
	}
}
