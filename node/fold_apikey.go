package node

import (
	"crypto/sha256"
	"slices"
	"sync/atomic"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/revoke"
)

// access is what says who may do what, beside users and clients. live holds a flag for each key and each user: of what was
// verified by API key or Basic, it says whether that still holds. Each change of what the answer depends on takes a new flag,
// and none is used again, so that no length of time has to be waited for.
type access struct {
	keys   map[events.ID]*apiKey
	roles  map[string]*role
	grants map[string]*grant // by their names
	live   *revoke.Words
	flags  uint32 // that were handed out
}

func newAccess() access {
	return access{keys: map[events.ID]*apiKey{}, roles: map[string]*role{}, grants: map[string]*grant{}, live: &revoke.Words{}}
}

// apiKey is an API key. Times are Unix seconds.
type apiKey struct {
	id         events.ID
	user       *user
	name       string
	scope      []string
	digest     apiKeyDigest
	old        apiKeyDigest // of the secret before the last rotation
	oldExpires int64        // old is good until then
	expires    int64        // 0: never
	created    int64
	usedAt     int64 // a recent use; 0: none is known
	seq        uint64
	flag       uint32 // index of its live flag

	noted atomic.Int64 // of the use that this replica reported last: no part of the state
}

// Lengths of time that the fold knows about keys, in seconds.
const (
	keyUseEvery  = 3600      // a use is recorded when the one before is older
	keyForgotten = 24 * 3600 // an expired key is listed for so long, and a revocation can be repeated
)

func (s *state) foldSecretAPIKey(seq uint64, e *events.Event, d *events.SecretAPIKey) voidReason {
	u := s.users[d.User]
	switch {
	case u == nil:
		return voidGone
	case s.access.keys[d.Key] != nil:
		return voidExists
	case u.seq != d.UserSeq || len(d.Digest) != sha256.Size, s.liveKeys(u) >= maxKeys:
		return voidChanged
	}
	s.forgetExpiredKeys(u, seq)
	k := &apiKey{
		id: d.Key, user: u, name: d.Name, scope: slices.Clone(d.Scope), digest: apiKeyDigest(d.Digest), expires: d.Expires,
		created: e.Time.Unix(), seq: seq, flag: s.newFlag(!u.disabled),
	}
	u.keys = append(u.keys, k)
	s.access.keys[k.id] = k
	s.paceKeys(e, u)
	s.owe(seq, e, &events.APIKeyCreated{Key: k.id, User: u.id, Scope: k.scope, Expires: k.expires, Secret: seq})
	s.touch(seq)
	return ""
}

func (s *state) foldSecretAPIKeyRotated(seq uint64, e *events.Event, d *events.SecretAPIKeyRotated) voidReason {
	k := s.access.keys[d.Key]
	switch {
	case k == nil || k.user.id != d.User:
		return voidGone
	case k.seq != d.KeySeq || len(d.Digest) != sha256.Size:
		return voidChanged
	}
	// Of three secrets the oldest is no good any more, whatever was said when it was replaced.
	k.old, k.oldExpires = k.digest, d.OldExpires
	k.digest, k.seq = apiKeyDigest(d.Digest), seq
	s.renewFlag(&k.flag, !k.user.disabled)
	s.paceKeys(e, k.user)
	s.owe(seq, e, &events.APIKeyRotated{Key: k.id, User: k.user.id, Secret: seq})
	s.touch(seq)
	return ""
}

// paceKeys counts what users do with their own keys.
func (s *state) paceKeys(e *events.Event, u *user) {
	if e.Actor == u.id.String() {
		u.pace = paceAfter(u.pace, s.logTime/1e9, rotationCost)
		s.touch(uint64(u.pace))
	}
}

func (s *state) foldAPIKeyRevoked(seq uint64, d *events.APIKeyRevoked) voidReason {
	k := s.access.keys[d.Key]
	if k == nil {
		return voidGone
	}
	s.endKey(k, seq)
	k.user.keys = slices.DeleteFunc(k.user.keys, func(other *apiKey) bool { return other == k })
	return ""
}

// foldAPIKeyUsed takes one use an hour: of replicas that noticed one at the same time, the first in the log.
func (s *state) foldAPIKeyUsed(d *events.APIKeyUsed) voidReason {
	k := s.access.keys[d.Key]
	used := min(d.UsedAt, s.logTime/1e9+margin) // no clock that is fast shall keep the uses of the next year out
	switch {
	case k == nil:
		return voidGone
	case used < k.usedAt+keyUseEvery:
		return voidNoop
	}
	k.usedAt = used
	s.touch(uint64(used))
	return ""
}

// newFlag returns a flag that nothing has had before.
func (s *state) newFlag(live bool) uint32 {
	flag := s.access.flags
	s.access.flags++
	s.access.live.Set(flag, live)
	return flag
}

// dropFlag clears a flag for good.
func (s *state) dropFlag(flag uint32) {
	s.access.live.Set(flag, false)
	s.freeWord.dead = append(s.freeWord.dead, accessFlag(flag))
}

// accessFlag names a flag of a key or a user among all of them.
func accessFlag(flag uint32) liveFlag { return 1<<32 | liveFlag(flag) }

// renewFlag replaces a flag: what was verified under the old one has to be looked at again.
func (s *state) renewFlag(flag *uint32, live bool) {
	s.dropFlag(*flag)
	*flag = s.newFlag(live)
}

// renewAccess renews the flags of u and of its keys, because what it may do has changed.
func (s *state) renewAccess(u *user) {
	s.renewFlag(&u.flag, !u.disabled)
	for _, k := range u.keys {
		s.renewFlag(&k.flag, !u.disabled)
	}
}

// endKey makes k invalid. The caller takes it from its owner's list.
func (s *state) endKey(k *apiKey, seq uint64) {
	s.revoked.Insert(endedKey(k.user.id, k.id), seq, s.logTime/1e9+keyForgotten)
	s.dropFlag(k.flag)
	delete(s.access.keys, k.id)
	s.touch(seq)
}

// endAccess makes what a deleted user has invalid.
func (s *state) endAccess(u *user, seq uint64) {
	s.dropFlag(u.flag)
	for _, k := range u.keys {
		s.endKey(k, seq)
	}
	u.keys = nil
}

// endedKey is under what the revocation cache remembers an ended key, so that its owner alone can ask for it.
func endedKey(user, key events.ID) events.ID {
	return events.DeriveID("ended api key", user[:], key[:])
}

// liveKeys returns how many keys of u have not expired.
func (s *state) liveKeys(u *user) (live int) {
	for _, k := range u.keys {
		if k.expires == 0 || k.expires > s.logTime/1e9 {
			live++
		}
	}
	return live
}

// forgetExpiredKeys makes room among the keys of u.
func (s *state) forgetExpiredKeys(u *user, seq uint64) {
	u.keys = slices.DeleteFunc(u.keys, func(k *apiKey) bool {
		expired := k.expires != 0 && k.expires+keyForgotten < s.logTime/1e9
		if expired {
			s.endKey(k, seq)
		}
		return expired
	})
}
