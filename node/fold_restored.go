package node

import (
	"bytes"
	"fmt"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
)

// suspended stands for the hash of a password or a client secret that was forgotten: nothing has it. Giving a new one lifts it.
const suspended = "!"

// foldRestored begins the epoch of a log that was made again from a backup. What was revoked after the backup is not in it, so whatever
// could have been revoked is: sessions, tokens and signing keys always; the rest unless somebody has said that it is to be trusted.
func (s *state) foldRestored(seq uint64, e *events.Event, d *events.Restored) voidReason {
	switch {
	case d.Before != s.epoch || e.Epoch.IsZero() || e.Epoch == s.epoch:
		return voidEpoch
	case d.Last+1 != seq:
		return voidChanged
	}
	s.epoch = e.Epoch
	s.foldAllRevoked(seq)
	for _, k := range s.keys {
		k.revoked = true
	}
	// Nobody of the log before is in this one.
	for inc := range s.members {
		s.depart(inc)
	}
	for _, h := range s.hooks {
		h.release()
	}
	for at, r := range s.records {
		r.origin.Epoch = s.epoch
		s.records[at] = r
	}
	if !d.Trusted {
		s.suspend(seq, e.Reason)
	}
	s.touch(seq)
	return ""
}

// suspend forgets everything that proves who somebody is, and stops what goes out. The records stay: a new secret is all that they lack,
// and a client that has none to forget is disabled.
func (s *state) suspend(seq uint64, why string) {
	for _, u := range inOrder(s.users, func(a, b *user) int { return bytes.Compare(a.id[:], b.id[:]) }) {
		u.hash, u.seq, u.credSeq = suspended, seq, seq
		s.renewFlag(&u.flag, !u.disabled)
		for _, k := range u.keys {
			k.digest, k.old, k.oldExpires, k.seq = apiKeyDigest{}, apiKeyDigest{}, 0, seq
			s.renewFlag(&k.flag, !u.disabled)
		}
	}
	for _, c := range s.clients {
		if c.seq = seq; c.hash == "" {
			c.disabled = true
		} else {
			c.hash, c.oldHash, c.oldExpires = suspended, "", 0
		}
	}
	for _, g := range s.access.grants {
		s.dropFlag(g.flag)
	}
	clear(s.access.grants)
	for _, h := range s.hooks {
		if h.paused == "" {
			h.paused, h.pausedText, h.seq = pausedByRestore, why, seq
		}
	}
}

// observeRestored tells the lease that every life before is gone: they were in another log. Whoever serves has read that log to its end,
// and in it nobody can write that it was made from a backup.
func (n *Node) observeRestored(seq uint64) error {
	k := &n.keeping
	if k.serving() && n.cfg.Break&fence.Unsigned == 0 {
		return fmt.Errorf("%w, or in none: message %d says that this log was made from a backup", errForged, seq)
	}
	k.mu.Lock()
	gone := make([]events.ID, 0, len(k.peers)+len(k.joined))
	for inc := range k.peers {
		gone = append(gone, inc)
	}
	for inc := range k.joined {
		gone = append(gone, inc)
	}
	k.mu.Unlock()
	for _, inc := range gone {
		n.departed(inc)
	}
	return nil
}
