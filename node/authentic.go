package node

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"
	"sync"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
	"github.com/knell-auth/knell/internal/token"
)

// What stands in the log in the name of a replica was appended by it as far as the log's servers keep everybody else from doing so. Two
// checks do not rest on them. The replica knows its own events again, whoever holds the log, and fences itself when there is one in its
// name that it did not make. And it signs what it says about itself: how far it is, in beats, and that a life of it has ended. The others
// do not believe that without a signature, so that nobody completes a barrier in its name. Both are local: they decide nothing about what
// an event does, which has to be the same everywhere.

// errForged: an event in the name of this replica was appended by somebody else.
var errForged = errors.New("somebody else appends in the name of this replica")

// sealer makes the ids of this replica's events and knows them again, in any later life over the same directory: half of an id is random,
// half is a MAC over the event and that. To everybody else all of it looks random. Nothing is counted, so nothing has to be kept, and a
// copy of the directory makes other ids.
type sealer struct {
	macs   sync.Pool // of *sealing
	after  uint64    // what comes after this sequence in this replica's name is sealed with key; the apply loop's
	joined bool      // this life's own beginning has been applied; the apply loop's
}

// sealRandom is how many bytes of an id are random.
const sealRandom = 8

// sealing is what computing a MAC takes.
type sealing struct {
	mac      hash.Hash
	buf, sum []byte
}

func (m *sealer) init(id identity) {
	m.macs.New = func() any { return &sealing{mac: hmac.New(sha256.New, id.Events)} }
	m.after = math.MaxUint64
	if id.Checkpoint.Seq != 0 {
		m.after = id.Checkpoint.Seq // an earlier life has looked at what came before, and the digest says that it is the same
	}
}

// seal finishes the id of e, which is random. No member but TraceParent may change after that. Safe for concurrent use.
func (m *sealer) seal(e *events.Event) {
	e.ID, _ = m.sealed(e) // what cannot be encoded is not appended either
}

// made reports whether e is from here, as it is.
func (m *sealer) made(e *events.Event) bool {
	id, ok := m.sealed(e)
	return ok && id == e.ID
}

// sealed returns the id that e has if it is from here. ok is false, and the id as it was, if e cannot be encoded.
func (m *sealer) sealed(e *events.Event) (id events.ID, ok bool) {
	s := m.macs.Get().(*sealing)
	defer m.macs.Put(s)
	bare := *e
	bare.TraceParent = ""
	clear(bare.ID[sealRandom:])
	b, err := events.Encode(s.buf[:0], &bare)
	if err != nil {
		return e.ID, false
	}
	s.buf = b
	s.mac.Reset()
	s.mac.Write(b)
	s.sum = s.mac.Sum(s.sum[:0])
	copy(bare.ID[sealRandom:], s.sum)
	return bare.ID, true
}

// checkOwn returns errForged when the event at seq, which is in this replica's name and had an effect, is not from here. Before this life
// has joined that is said only: to refuse each start would help nobody. The apply loop calls it.
func (n *Node) checkOwn(seq uint64, e *events.Event) error {
	m := &n.life.ids
	joined, _ := e.Data.(*events.NodeJoined)
	if joined != nil && joined.Incarnation == n.life.inc {
		m.joined, m.after = true, min(m.after, seq)
	}
	if n.cfg.Break&fence.Unsigned != 0 || seq <= m.after || m.made(e) {
		return nil
	}
	switch {
	case n.ofTwin(e):
		if joined != nil {
			n.log.Error("another replica joins under the name of this one", "seq", seq, "incarnation", joined.Incarnation)
		}
	case m.joined:
		return fmt.Errorf("%w: message %d (%s)", errForged, seq, e.Data.Type())
	default:
		n.log.Error(errForged.Error(), "seq", seq, "type", e.Data.Type())
	}
	return nil
}

// ofTwin reports whether e is what a second replica appends that was started under this one's name by mistake, before it ends by
// conflictLocked: that it joins, and beats. That speaks of its own life only, and is no reason for the elder to end.
func (n *Node) ofTwin(e *events.Event) bool {
	switch d := e.Data.(type) {
	case *events.NodeJoined:
		return d.Incarnation != n.life.inc && d.Replaces != n.life.inc
	case *events.NodeBeat:
		return !slices.ContainsFunc(d.Pings, func(p events.Ping) bool { return p.Incarnation == n.life.inc })
	}
	return false
}

// What is signed begins with one of these, so that a signature under the key never means anything else.
const (
	beatDomain = "knell beat v1\x00"
	goneDomain = "knell gone v1\x00"
)

// beatStatement returns what the signature of a ping is over.
func beatStatement(epoch events.ID, p *events.Ping) []byte {
	b := make([]byte, 0, 128)
	b = append(append(b, epoch[:]...), p.Incarnation[:]...)
	b = binary.BigEndian.AppendUint64(b, p.Counter)
	b = binary.BigEndian.AppendUint64(b, p.Applied)
	b = append(b, p.Digest[:]...)
	b = binary.BigEndian.AppendUint32(b, p.Level)
	b = binary.BigEndian.AppendUint64(b, p.LeaseMillis)
	return append(b, p.Node...)
}

// goneStatement returns what the signature of the word that a life has ended is over.
func goneStatement(epoch, inc events.ID) []byte { return append(epoch[:], inc[:]...) }

// signBeat signs p, once the others know the key.
func (n *Node) signBeat(epoch events.ID, p *events.Ping) {
	if s := n.signing.with.Load(); s != nil {
		p.Signature = s.refresh.Vouch(beatDomain, beatStatement(epoch, p))
	}
}

// signGone returns the signature of this directory's key over the word that inc has ended, nil if there is nothing to say.
func (n *Node) signGone(inc events.ID) []byte {
	saved := &n.keeping.saved
	saved.mu.Lock()
	s, err := saved.signer()
	saved.mu.Unlock()
	if inc.IsZero() || err != nil {
		return nil
	}
	return s.refresh.Vouch(goneDomain, goneStatement(n.epoch(), inc))
}

// vouched reports whether statement comes from the replica whose life has signed with the key pinned before, as far as signature tells.
// A life that has not signed yet, or whose key was revoked since, is believed without: it cannot sign.
func (n *Node) vouched(pinned token.RefreshKeyID, domain string, statement func(epoch events.ID) []byte, signature []byte) bool {
	id, signature, signed := token.Vouched(signature)
	n.mu.RLock()
	key, before, epoch := n.state.refresh[id], n.state.refresh[pinned], n.state.epoch
	n.mu.RUnlock()
	bound := before != nil && !before.revoked
	if !signed || key == nil {
		return !bound
	}
	return (key == before || !bound) && ed25519.Verify(key.refreshPublic, append([]byte(domain), statement(epoch)...), signature)
}

// genuine is vouched for a ping.
func (n *Node) genuine(p *events.Ping, pinned token.RefreshKeyID) bool {
	return n.vouched(pinned, beatDomain, func(epoch events.ID) []byte { return beatStatement(epoch, p) }, p.Signature)
}

// goneIndeed reports whether it is to be believed that the life inc has ended.
func (n *Node) goneIndeed(inc events.ID, signature []byte) bool {
	if n.cfg.Break&fence.Unsigned != 0 {
		return true
	}
	pinned, _ := n.keeping.pinned(inc)
	return n.vouched(pinned, goneDomain, func(epoch events.ID) []byte { return goneStatement(epoch, inc) }, signature)
}

// pinned returns the key that a life signs with, and whether its newest beat was not believed.
func (k *keeping) pinned(inc events.ID) (key token.RefreshKeyID, doubted bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.peers[inc]; p != nil {
		return p.key, p.doubted
	}
	return key, false
}

// doubted returns the incarnations whose pings in e are not genuine. While the log is read for the first time it believes all of them, and
// keeps the last one of each life for checkPeers: on a beat of that time nothing depends any more: it says nothing about what comes after it.
func (n *Node) doubted(e *events.Event, d *events.NodeBeat) (lives []events.ID) {
	k := &n.keeping
	if n.cfg.Break&fence.Unsigned != 0 || !k.serving() {
		return nil
	}
	for i := range d.Pings {
		p := &d.Pings[i]
		if p.Incarnation == n.life.inc && e.Node == n.cfg.Name {
			continue // checkOwn has looked at it
		}
		pinned, warned := k.pinned(p.Incarnation)
		if n.genuine(p, pinned) {
			continue
		}
		lives = append(lives, p.Incarnation)
		if !warned {
			n.log.Error("a beat is not signed by the replica that it names; what it says is not believed", "node", p.Node, "incarnation", p.Incarnation)
		}
	}
	return lives
}

// checkPeers verifies the last ping of each life that was read before this replica served, and measures later ones by its key.
func (n *Node) checkPeers() {
	if n.cfg.Break&fence.Unsigned != 0 {
		return
	}
	k := &n.keeping
	k.mu.Lock()
	var last []events.Ping
	for _, p := range k.peers {
		if len(p.last.Signature) > 0 {
			last = append(last, p.last)
		}
		p.last = events.Ping{}
	}
	k.mu.Unlock()
	for i := range last {
		p := &last[i]
		if !n.genuine(p, token.RefreshKeyID{}) {
			n.log.Error("the last beat of a replica in the log is not signed by it", "node", p.Node, "incarnation", p.Incarnation)
			continue
		}
		k.mu.Lock()
		if known := k.peers[p.Incarnation]; known != nil && known.key == (token.RefreshKeyID{}) {
			known.noteSigned(*p, true)
		}
		k.mu.Unlock()
	}
}

// noteSigned keeps what later pings of the life are measured by: the key of one that is genuine, or one that is yet to be looked at. k.mu is held.
func (p *peer) noteSigned(ping events.Ping, serving bool) {
	if !serving {
		p.last = ping
		p.last.Signature = bytes.Clone(ping.Signature)
	} else if id, _, ok := token.Vouched(ping.Signature); ok {
		p.key = id
	}
}

// believed returns what a ping says about how far its replica is: nothing, unless it is believed, and never more than could be true.
func believed(p events.Ping, seq uint64, doubted []events.ID) uint64 {
	if slices.Contains(doubted, p.Incarnation) {
		return 0
	}
	return min(p.Applied, seq)
}
