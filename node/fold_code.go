package node

import (
	"slices"

	"github.com/knell-auth/knell/events"
)

// code is an authorization code (RFC 6749 section 4.1.2) that has not expired, redeemed or not. It is remembered for a margin
// longer, so that a second redemption is known for one. Times are Unix seconds.
type code struct {
	user     *user
	client   *client
	scope    []string
	seq      uint64
	issuedAt int64
	expires  int64
	session  events.ID // that it was redeemed for; zero: not yet
}

func (s *state) foldCodeIssued(seq uint64, d *events.CodeIssued) voidReason {
	u, c := s.users[d.User], s.clients[d.Client]
	switch {
	case u == nil || c == nil:
		return voidGone
	case u.disabled || u.seq != d.UserSeq || c.disabled || c.seq != d.ClientSeq:
		return voidChanged
	case s.codes[d.Code] != nil:
		return voidExists
	}
	s.codes[d.Code] = &code{user: u, client: c, scope: slices.Clone(d.Scope), seq: seq, issuedAt: d.IssuedAt, expires: d.Expires}
	s.touch(seq, uint64(d.Expires))
	return ""
}

// redeemable reports whether a session of u through c may start with the code that d names, "" if it may. A code is good
// once; what ends sessions that started before it, ends a code as well.
func (s *state) redeemable(d *events.SessionStarted, u *user, c *client) voidReason {
	k := s.codes[d.Code]
	switch {
	case k == nil || k.user != u || k.client != c || d.IssuedAt >= k.expires || !k.live():
		return voidGone
	case !k.session.IsZero():
		return voidExists
	}
	return ""
}

// live reports whether nothing has ended k before its time.
func (k *code) live() bool { return k.seq > k.user.codes && k.seq > k.client.codes }

// sweepCodes forgets codes that ended more than a margin before log time. There are never more than those of the last minutes.
func (s *state) sweepCodes() {
	now := s.logTime / 1e9
	if now < s.codesSwept+margin {
		return
	}
	s.codesSwept = now
	for id, k := range s.codes {
		if k.expires+margin < now {
			delete(s.codes, id)
		}
	}
}
