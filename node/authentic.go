package node

import (
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

// signGone returns the signature of this directory over the word that its life inc has ended, nil if there is nothing to say.
func (n *Node) signGone(inc events.ID) []byte {
	saved := &n.keeping.saved
	saved.mu.Lock()
	seed := saved.Refresh
	if inc == n.life.prev && saved.former != nil {
		seed = saved.former
	}
	saved.mu.Unlock()
	if inc.IsZero() {
		return nil
	}
	return token.NewRefreshSigner(seed).Vouch(goneDomain, goneStatement(n.epoch(), inc))
}

// vouched reports whether the replica that lives inc has signed a statement: with a key that was published under the name under which
// that life joined, and is not revoked.
func (n *Node) vouched(inc events.ID, domain string, statement func(epoch events.ID) []byte, signature []byte) (id token.RefreshKeyID, ok bool) {
	id, signature, ok = token.Vouched(signature)
	if !ok {
		return id, false
	}
	n.keeping.mu.Lock()
	name := n.keeping.joined[inc].node
	n.keeping.mu.Unlock()
	n.mu.RLock()
	key, epoch := n.state.refresh[id], n.state.epoch
	ok = key != nil && name != "" && key.of(name)
	n.mu.RUnlock()
	return id, ok && ed25519.Verify(key.refreshPublic, append([]byte(domain), statement(epoch)...), signature)
}

// genuine returns the key that p is signed with. ok is false if it is not signed, or by somebody else.
func (n *Node) genuine(p *events.Ping) (id token.RefreshKeyID, ok bool) {
	return n.vouched(p.Incarnation, beatDomain, func(epoch events.ID) []byte { return beatStatement(epoch, p) }, p.Signature)
}

// goneIndeed reports whether it is to be believed that the life inc has ended.
func (n *Node) goneIndeed(inc events.ID, signature []byte) bool {
	if n.cfg.Break&fence.Unsigned != 0 {
		return true
	}
	_, ok := n.vouched(inc, goneDomain, func(epoch events.ID) []byte { return goneStatement(epoch, inc) }, signature)
	return ok
}

// believe takes from the pings of a beat what is not to be believed: a replica that has not signed it says nothing of how far it is, and
// nobody but this one what it has sent, which would be a lease. That a life holds one is believed of all: it can only make somebody wait.
// While the log is read for the first time no signature is looked at; what a beat of that time says of how far its replica is, is compared
// and not relied on.
func (n *Node) believe(seq uint64, e *events.Event, d *events.NodeBeat) []sighting {
	seen := make([]sighting, 0, len(d.Pings))
	for _, p := range d.Pings {
		s := sighting{Ping: p}
		s.Applied = min(p.Applied, seq)
		switch own := p.Incarnation == n.life.inc; {
		case n.cfg.Break&fence.Unsigned != 0 || own && e.Node == n.cfg.Name: // checkOwn has looked at it
		case own:
			n.log.Error("another replica beats for this one; that is not believed", "node", e.Node, "seq", seq)
			continue
		case n.keeping.serving():
			if s.key, s.genuine = n.genuine(&p); !s.genuine {
				s.doubted, s.Applied = true, 0
			}
		}
		seen = append(seen, s)
	}
	return seen
}

// sighting is a ping as far as it is believed.
type sighting struct {
	events.Ping
	doubted bool // it is not signed by the replica that it names
	genuine bool // it is, with key
	key     token.RefreshKeyID
}

// accuses reports whether s, which is doubted, cannot come from its replica: that has signed before, with a key that holds, and s is not
// one that was overtaken on its way. k.mu is held.
func (n *Node) accuses(s *sighting) bool {
	known := n.keeping.peers[s.Incarnation]
	if known == nil || known.doubted || s.Counter <= known.counter {
		return false
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	key := n.state.refresh[known.key]
	return key != nil && !key.revoked
}
