package node

import (
	"cmp"
	"slices"
	"time"

	"github.com/knell-auth/knell/events"
)

// Ready reports whether this replica holds a lease and may issue tokens.
func (n *Node) Ready() bool {
	return n.signing.ready() && n.hot.lease.Load().Valid(n.clock.read())
}

// Issuer returns the "iss" of the tokens that this replica gives and takes.
func (n *Node) Issuer() string { return n.cfg.Issuer }

// RetryAfter returns how long a client that was refused with 503 should wait: the time in which a beat comes back.
func (n *Node) RetryAfter() time.Duration { return max(n.cfg.Lease/beatsPerLease, time.Second) }

// Status describes the replica now.
func (n *Node) Status() Status {
	now := n.clock.read()
	s := Status{
		Node: n.cfg.Name, Incarnation: n.life.inc.String(), Ready: n.Ready(), Pending: n.wait.pending(),
		LogBytes: n.room.bytes.Load(), LogMaxBytes: n.room.limit.Load(), LogSheds: n.room.sheds(),
		Record: n.cfg.Recording,
	}
	if lease := n.hot.lease.Load(); lease != nil {
		s.Lease = max(0, lease.Remaining(now))
	}
	n.mu.RLock()
	s.Announced = Announced{n.cfg.Version, n.life.level, n.cfg.Lease.Milliseconds(), n.cfg.Issuer, n.cfg.Audience}
	s.Standing = Standing{
		Time: n.clock.now().UTC(), LogTime: time.Unix(0, n.state.logTime).UTC(), LogLevel: n.state.level,
		Snapshot: n.room.retaining.newest.Load(), LogFirst: max(n.state.first, 1),
	}
	announced := map[events.ID]Announced{}
	for inc, m := range n.state.members {
		announced[inc] = Announced{m.version, m.level, int64(m.lease), m.issuer, m.audience}
	}
	s.Epoch, s.Applied, s.Digest = n.state.epoch.String(), n.state.seq, n.state.digest.String()
	s.Users, s.Sessions, s.Revoked = len(n.state.users), len(n.state.sessions), n.state.revoked.Len()
	n.mu.RUnlock()
	k := &n.keeping
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failure != nil {
		s.Fenced = k.failure.Error()
	}
	live := k.horizons(now)
	for inc, p := range k.peers {
		s.Peers = append(s.Peers, Peer{Announced: announced[inc], Node: p.name, Incarnation: inc.String(), Applied: p.applied, Horizon: live[inc]})
	}
	slices.SortFunc(s.Peers, func(a, b Peer) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Incarnation, b.Incarnation))
	})
	return s
}
