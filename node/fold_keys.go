package node

import (
	"crypto/ed25519"
	"slices"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/token"
)

func (s *state) foldNodeKey(seq uint64, e *events.Event, d *events.NodeKey) voidReason {
	if k := s.keys[d.Key]; k != nil {
		if k.revoked || k.node != e.Node || s.signers[e.Node] == k {
			return voidExists
		}
		s.signers[e.Node] = k // an older directory of the replica is in use again
		s.touch(seq)
		return ""
	}
	verify, err := token.NewKey(d.Alg, slices.Clone(d.Public))
	if err != nil || verify.ID() != d.Key || len(d.RefreshPublic) != ed25519.PublicKeySize {
		return voidChanged
	}
	k := &signingKey{
		id: d.Key, node: e.Node, verify: verify, refreshPublic: slices.Clone(d.RefreshPublic), seq: seq, used: s.logTime / 1e9,
	}
	// Two keys with one refresh key could not be revoked apart.
	refresh := token.NewRefreshKeyID(k.refreshPublic)
	if s.refresh[refresh] != nil {
		return voidChanged
	}
	s.keys[d.Key], s.refresh[refresh], s.signers[e.Node] = k, k, k
	s.touch(seq)
	return ""
}

// foldSigningKeyRevoked makes every token of the key invalid, access and refresh tokens alike. Sessions live on: a refresh
// token of another replica's key still works. Cached tokens are looked at again, because their words are renewed.
func (s *state) foldSigningKeyRevoked(seq uint64, d *events.SigningKeyRevoked) voidReason {
	k := s.keys[d.Key]
	switch {
	case k == nil:
		return voidGone
	case k.revoked:
		return voidNoop
	}
	k.revoked = true
	for _, ses := range s.sorted(func(*session) bool { return true }) {
		s.renewWord(ses)
	}
	s.touch(seq)
	return ""
}

// verifies reports whether a token of k may be live: k was not revoked, and its replica signed with it not longer ago than a
// token can live.
func (s *state) verifies(k *signingKey) bool {
	return !k.revoked && s.logTime/1e9 <= k.used+seconds(maxAccessTTL)+margin
}
