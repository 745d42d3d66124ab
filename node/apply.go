package node

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
)

// digestRing is how many of the newest digests a replica keeps, to compare them with what its peers say of theirs.
const digestRing = 8192

// errDiverged: this replica's state is not what the log means to the others.
var errDiverged = errors.New("state differs from the other replicas'")

// follow is the apply loop: the only writer of the state.
func (n *Node) follow() {
	err := n.cfg.Log.Follow(n.ctx, n.hot.applied.Load(), n.deliver)
	if n.ctx.Err() == nil {
		n.fatal(fmt.Errorf("log: %w", err))
	}
}

// deliver applies one batch in order. After each message readers see its effect; after the batch the replicas that wait
// for this one hear how far it is.
func (n *Node) deliver(batch []events.Message) error {
	var e events.Event
	var facts events.Facts
	feeding := n.hot.feed.on.Load()
	defer n.hashAhead(batch)()
	for i := range batch {
		m := &batch[i]
		if err := events.DecodeFacts(m.Data, &e, &facts); err != nil {
			// To skip what one cannot read would be to serve without knowing what was revoked.
			return fmt.Errorf("message %d: %w", m.Seq, err)
		}
		n.hot.index.note(m, &facts)
		if err := n.applyOne(m, &e); err != nil {
			return err
		}
		if e.Node != n.cfg.Name && narrows(e.Data) {
			n.keeping.owes(e.Node)
		}
		if feeding {
			n.hot.feed.take(m, n.state.past.void(m.Seq))
		}
	}
	n.report()
	applied := n.hot.applied.Load()
	n.wait.reached(applied)
	n.hot.feed.publish(applied, feeding)
	return nil
}

// applyOne folds one event, publishes its effect to readers, and only then lets anybody rely on it.
func (n *Node) applyOne(m *events.Message, e *events.Event) error {
	seq := m.Seq
	var began time.Time
	if n.traced(e) {
		began = time.Now()
	}
	n.mu.Lock()
	tiles := n.state.leaves.tiles
	if seq != n.state.seq+1 {
		n.mu.Unlock()
		return fmt.Errorf("message %d came after %d", seq, n.state.seq)
	}
	if d, ok := e.Data.(*events.NodeJoined); ok && d.Incarnation == n.life.inc && e.Node == n.cfg.Name && !n.life.ids.joined {
		n.forgetSilent()
	}
	reader := n.readerOf(e.Data)
	owed := len(n.state.records)
	out := n.state.applyMessage(m, n.leaveOut(seq, e))
	settled := len(n.state.records) < owed // by a record, whose id is derived from that of its secret
	n.endDead()
	n.endDeliveries(e.Data)
	n.keeping.ring[seq%digestRing] = n.state.digest
	logTime := n.state.logTime
	if n.state.leaves.tiles != tiles && e.Node == n.cfg.Name {
		n.hot.tiles.wake()
	}
	if d, ok := e.Data.(*events.SessionRefreshed); ok && out.void == "" {
		// Before anybody sees the new generation: without the mark, its predecessor would count as stolen.
		now := n.clock.read()
		late := !n.hot.lease.Load().Valid(now)
		n.recent.note(d.Session, refreshMark{seq, now.Mono, logTime / 1e9, late}, n.cfg.Grace)
	}
	if d, ok := e.Data.(*events.SigningKeyRevoked); ok && out.void == "" {
		n.dropKeys(d.Key)
	}
	n.mu.Unlock()
	if out.void == "" {
		if reader != "" {
			n.room.left.add(reader)
		}
		n.hot.feed.noteRename(e.Data)
		n.forgetDeleted(e.Data)
	}

	if e.Node == n.cfg.Name && out.void == "" && !settled && e.Data != nil {
		if err := n.checkOwn(seq, e); err != nil {
			return err
		}
	}
	n.hot.logTime.Store(logTime / 1e9)
	n.hot.applied.Store(seq)
	if err := n.keeping.checkMark(seq, n.state); err != nil {
		return err
	}
	if err := n.observe(seq, e, out); err != nil {
		return err
	}
	if !began.IsZero() {
		n.traceApply(e, began, out)
	}
	if e.Node == n.cfg.Name {
		if tag, wait := n.wait.applied(e.ID, out); wait {
			n.openBarrier(seq, tag)
		}
	}
	return nil
}

// observe feeds the lease and the barriers with what an event says about replicas.
func (n *Node) observe(seq uint64, e *events.Event, out outcome) error {
	switch d := e.Data.(type) {
	case *events.LogStarted:
		n.keeping.begin()
	case *events.Restored:
		if out.void == "" {
			return n.observeRestored(seq)
		}
	case *events.NodeBeat:
		if out.void == "" {
			return n.observeBeat(seq, e, d)
		}
	case *events.NodeJoined:
		if out.void == "" {
			n.observeJoined(seq, e.Node, d)
		}
	case *events.NodeLeft:
		if out.void == "" {
			n.observeLeft(d.Incarnation, d.Signature)
		}
	case *events.LevelRaised:
		if out.void == "" && d.Level > n.life.level {
			return tooOld(seq, d.Level, n.life.level)
		}
	}
	return nil
}

// observeBeat takes each ping of a beat: the horizon of a peer, or this replica's own lease.
func (n *Node) observeBeat(seq uint64, e *events.Event, d *events.NodeBeat) error {
	k := &n.keeping
	seen := n.believe(seq, e, d)
	now := n.clock.read()
	var conflict error
	k.mu.Lock()
	for i := range seen {
		p := &seen[i]
		ping := fence.Ping{Inc: fence.Incarnation(p.Incarnation), Counter: p.Counter, Applied: p.Applied, Length: millis(p.LeaseMillis)}
		if !k.serving() && n.cfg.Break&fence.Unsigned == 0 {
			ping.Applied = 0 // nobody has looked at its signature
		}
		k.machine.Beat(seq, ping, now)
		if p.Incarnation != n.life.inc {
			n.observePeer(p, seq)
			conflict = cmp.Or(conflict, n.conflictLocked(p.Ping, seq))
		}
	}
	if fence.Breakable {
		k.broken.applied.Store(&now)
	}
	lease := k.machine.Lease()
	diverged := k.divergedLocked(now)
	if ahead := e.Time.Sub(n.clock.now()); ahead > time.Minute && !k.warned.ahead {
		k.warned.ahead = true
		n.log.Error("log time is far ahead of this replica's clock", "node", e.Node, "ahead", ahead)
	}
	if !n.rivalledLocked(now) {
		n.publishLease(lease, now)
	}
	k.mu.Unlock()
	switch {
	case conflict != nil:
		return conflict
	case diverged:
		return errDiverged
	}
	from := e.Node
	if from == n.cfg.Name { // nobody waits for that
		from = ""
	}
	n.settle(from)
	return nil
}

// millis is the length of a lease that a peer announces. The machine bounds it.
func millis(n uint64) time.Duration { return time.Duration(min(n, 1<<32)) * time.Millisecond }

// observeJoined notes that a life has begun and, where its directory proves it, that the one before has ended.
func (n *Node) observeJoined(seq uint64, node string, d *events.NodeJoined) {
	n.keeping.mu.Lock()
	if _, ok := n.keeping.joined[d.Incarnation]; !ok { // what comes later is somebody else's word
		n.keeping.joined[d.Incarnation] = joining{seq, node, d.Issuer, d.Audience}
	}
	n.keeping.mu.Unlock()
	if !d.Replaces.IsZero() && d.Replaces != n.life.inc {
		n.observeLeft(d.Replaces, d.Signature)
	}
}

// observeLeft notes that a life has ended, if it is to be believed. If not, its horizon passes soon.
func (n *Node) observeLeft(inc events.ID, signature []byte) {
	if !n.goneIndeed(inc, signature) {
		n.keeping.mu.Lock()
		_, known := n.keeping.joined[inc] // not the one that said so already, whose successor says it again
		n.keeping.mu.Unlock()
		if known {
			n.log.Warn("that a replica has left is not signed by it, and not believed", "incarnation", inc)
		}
		return
	}
	n.departed(inc)
}

func (n *Node) departed(inc events.ID) {
	k := &n.keeping
	k.mu.Lock()
	k.machine.Left(fence.Incarnation(inc))
	name := k.nameLocked(fence.Incarnation(inc))
	delete(k.peers, inc)
	delete(k.joined, inc)
	k.mu.Unlock()
	n.settle(name)
}

// narrows reports whether a command may wait at a barrier for an event of this kind.
func narrows(p events.Payload) bool {
	switch p := p.(type) {
	case *events.AttemptsForgiven:
		return p.Everywhere
	case *events.SessionRevoked, *events.UserRevoked, *events.ClientRevoked, *events.SigningKeyRevoked, *events.AllRevoked,
		*events.SecretUser, *events.SecretProfile, *events.SecretPassword, *events.SecretClient, *events.UserEnabled, *events.UserRolesChanged,
		*events.NodeKey, *events.ClientChanged, *events.ClientEnabled, *events.SecretClientSecret,
		*events.SecretAPIKey, *events.SecretAPIKeyRotated, *events.APIKeyRevoked, *events.RoleScopes,
		*events.SecretWebhook, *events.SecretWebhookSecret, *events.WebhookDeleted, *events.WebhookPaused, *events.WebhookResumed,
		*events.WebhookCursorSet, *events.WebhookClaimed,
		*events.EventsGranted, *events.GrantRevoked:
		return true
	}
	return false
}

// reportSize is the length of an applied report: incarnation, sequence, digest.
const reportSize = 16 + 8 + 16

// report tells the replicas that wait for this one how far it has applied. It runs after readers see the change.
func (n *Node) report() {
	origins := n.keeping.takeOwed()
	if len(origins) == 0 {
		return
	}
	n.mu.RLock()
	seq, digest := n.state.seq, n.state.digest
	n.mu.RUnlock()
	b := make([]byte, 0, reportSize)
	b = append(b, n.life.inc[:]...)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = append(b, digest[:]...)
	for _, to := range origins {
		if err := n.cfg.Log.Tell(to, b); err != nil {
			// The next repetition or the next beat says it again.
			n.log.Debug("applied report not sent", "to", to, "error", err)
		}
	}
}

// hear takes an applied report of another replica.
func (n *Node) hear(from string, data []byte) {
	if len(data) != reportSize {
		n.log.Warn("malformed applied report", "from", from, "bytes", len(data))
		return
	}
	inc := events.ID(data[:16])
	seq := binary.BigEndian.Uint64(data[16:24])
	if known, same := n.sameDigest(seq, events.ID(data[24:])); known && !same {
		n.log.Error("applied report with another digest", "from", from, "seq", seq)
		return
	}
	k := &n.keeping
	k.mu.Lock()
	if p := k.peers[inc]; p == nil || p.name != from {
		k.mu.Unlock()
		return
	}
	k.machine.Report(fence.Incarnation(inc), seq)
	k.peers[inc].applied = max(k.peers[inc].applied, seq)
	k.mu.Unlock()
	n.settle(from)
}

// sameDigest compares d with this replica's digest at seq; known is false when it has not got there or has forgotten it.
func (n *Node) sameDigest(seq uint64, d events.ID) (known, same bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.keeping.broken.noDigest || seq > n.state.seq || !n.keeping.inRing(seq, n.state.seq) {
		return false, false
	}
	return true, n.keeping.ring[seq%digestRing] == d
}

// inRing reports whether the digest at seq is in the ring of a replica that has applied everything up to applied.
func (k *keeping) inRing(seq, applied uint64) bool {
	return seq != 0 && seq >= k.ringFrom && seq+digestRing > applied
}
