package node

import (
	"context"
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
)

// What the mutations of package fence that lie around its machine do to a node. None of it runs unless Config.Break names
// it, and nothing of the verification's path is even compiled into a build that cannot be broken.

// broken is what mutations have to remember.
type broken struct {
	applied  atomic.Pointer[fence.Reading] // taken when the newest beat was applied, for CachedClock
	heard    int                           // narrowing events of other replicas, for SkipMessage; the apply loop's
	lost     events.ID                     // the session whose end was left out; the apply loop's
	noDigest bool
}

// brokenVerify are the mutations of a verification.
const brokenVerify = fence.CacheBeforeLease | fence.CachedClock

// dawdle is how long the steps of a broken verification are apart: what a busy machine or a garbage collection may do to a
// goroutine at any place. The steps in their right order bear any delay.
const dawdle = time.Second

// verifyBroken is Verify for a token that was verified before, with the look at the state in front of that at the lease, or
// with the reading that the apply loop took for the newest beat.
func (n *Node) verifyBroken(ctx context.Context, accessToken string) (Identity, error) {
	lease := n.hot.lease.Load()
	e, ok := n.hot.cache.Lookup(accessToken)
	if !ok || !n.hot.words.Live(e.Session) {
		c, err := n.verifyFirst(ctx, accessToken)
		return Identity{c}, err
	}
	now := n.clock.read()
	if n.cfg.Break&fence.CacheBeforeLease != 0 {
		if !lease.Valid(now) { // else the pause would show nothing, and only take long
			select {
			case <-time.After(dawdle):
			case <-ctx.Done():
			}
		}
		lease, now = n.hot.lease.Load(), n.clock.read()
	}
	if cached := n.keeping.broken.applied.Load(); cached != nil && n.cfg.Break&fence.CachedClock != 0 {
		now = *cached
	}
	if !lease.Valid(now) {
		return Identity{}, ErrNotCurrent
	}
	return Identity{e.Claims}, nil
}

// endingEarly are the mutations that end barriers at an instant that is fixed when the event is published.
const endingEarly = fence.SetAtPublish | fence.WaitFromPublish

// endsEarly returns the instant at which the barrier of a command that is published now ends whatever the replicas say, by
// the monotonic clock; 0 when no mutation wants that.
func (n *Node) endsEarly() time.Duration {
	if n.cfg.Break&endingEarly == 0 {
		return 0
	}
	k := &n.keeping
	k.mu.Lock()
	defer k.mu.Unlock()
	now := n.clock.read()
	if n.cfg.Break&fence.WaitFromPublish != 0 {
		return now.Mono + n.cfg.Lease + n.cfg.Lease/10
	}
	// The replicas to wait for, and for how long, are those of this moment.
	until := now.Mono
	for _, h := range k.machine.Holders(now) {
		if events.ID(h.Inc) != n.life.inc {
			until = max(until, h.Until)
		}
	}
	return until
}

// early returns the barriers that a mutation ends now.
func (w *waiters) early(now fence.Reading) (tags []uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for tag, wt := range w.byTag {
		if wt.early != 0 && now.Mono >= wt.early {
			tags = append(tags, tag)
		}
	}
	return tags
}

// skipped is after how many narrowing events of other replicas SkipMessage leaves one out: the end of a session, and what repeats
// it.
const skipped = 30

// skips reports whether SkipMessage leaves e out. n.mu is held.
func (n *Node) skips(e *events.Event) bool {
	if !narrows(e.Data) || n.hot.lease.Load() == nil {
		return false
	}
	b := &n.keeping.broken
	if e.Node != n.cfg.Name {
		b.heard++
	}
	d, ok := e.Data.(*events.SessionRevoked)
	if ok && b.lost.IsZero() && b.heard >= skipped && e.Node != n.cfg.Name && n.state.sessions[d.Session] != nil {
		b.lost = d.Session
	}
	return ok && d.Session == b.lost && !b.lost.IsZero()
}

// leaveOut returns what the fold gets instead of e. n.mu is held.
func (n *Node) leaveOut(seq uint64, e *events.Event) *events.Event {
	if n.cfg.Break&(fence.SkipMessage|fence.NoValidation|fence.NoDedupe|fence.NoMajority) == 0 {
		return e
	}
	other := *e
	if _, trims := e.Data.(*events.NodeTrimmed); trims && n.cfg.Break&fence.NoMajority != 0 {
		n.state.agreeAll()
	}
	if n.cfg.Break&fence.SkipMessage != 0 && n.skips(e) {
		other.Data = nil
		n.log.Warn("mutation: message skipped", "seq", seq, "from", e.Node)
	}
	if n.cfg.Break&fence.NoDedupe != 0 && n.state.seen.knows(e.ID) {
		other.ID = events.DeriveID("broken", e.ID[:], binary.BigEndian.AppendUint64(nil, seq))
	}
	if n.cfg.Break&fence.NoValidation != 0 {
		other.Data = n.state.revalidated(e.Data)
	}
	return &other
}

// agreeAll makes every snapshot one that all replicas have made.
func (s *state) agreeAll() {
	for _, k := range s.checks {
		for _, m := range s.members {
			if !slices.Contains(k.nodes, m.node) {
				k.nodes = append(k.nodes, m.node)
			}
		}
	}
}

// knows reports whether id is remembered.
func (m *idMemory) knows(id events.ID) bool {
	_, now := m.now[id]
	_, before := m.before[id]
	return now || before
}

// revalidated returns d as if it had been validated against the records as they are now.
func (s *state) revalidated(d events.Payload) events.Payload {
	switch d := d.(type) {
	case *events.SessionStarted:
		if u := s.users[d.User]; u != nil {
			c := *d
			c.UserSeq = u.seq
			return &c
		}
	case *events.SessionRefreshed:
		if ses := s.sessions[d.Session]; ses != nil && ses.user != nil {
			c := *d
			c.SessionSeq, c.Generation, c.UserSeq = ses.seq, ses.generation+1, ses.user.seq
			return &c
		}
	case *events.ClientToken:
		if client := s.clients[d.Client]; client != nil {
			c := *d
			c.ClientSeq = client.seq
			return &c
		}
	}
	return d
}
