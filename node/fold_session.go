package node

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"unique"

	"github.com/knell-auth/knell/events"
)

func (s *state) foldSessionStarted(seq uint64, e *events.Event, d *events.SessionStarted) voidReason {
	u := s.users[d.User]
	switch {
	case u == nil:
		return voidGone
	case u.disabled || u.seq != d.UserSeq:
		return voidChanged
	case s.sessions[d.Session] != nil:
		return voidExists
	}
	c, void := s.grantee(d.Client, d.ClientSeq)
	if void != "" {
		return void
	}
	if !d.Code.IsZero() {
		if void := s.redeemable(d, u, c); void != "" {
			return void
		}
		s.codes[d.Code].session = d.Session
	}
	ses := &session{
		id: d.Session, user: u, client: c, scope: unique.Make(strings.Join(d.Scope, " ")), start: seq, seq: seq,
		issuedAt: d.IssuedAt, accessExpires: d.AccessExpires, lastExpires: d.AccessExpires,
		idleExpires: d.IdleExpires, expires: d.Expires, authTime: cmp.Or(d.AuthTime, d.IssuedAt),
		remember: d.Remember, device: deviceOf(e, d.IssuedAt),
	}
	ses.link()
	s.begin(ses)
	return ""
}

func (s *state) foldClientToken(seq uint64, e *events.Event, d *events.ClientToken) voidReason {
	c := s.clients[d.Client]
	switch {
	case c == nil:
		return voidGone
	case c.disabled || c.seq != d.ClientSeq:
		return voidChanged
	case s.sessions[d.Session] != nil:
		return voidExists
	}
	s.begin(&session{
		id: d.Session, client: c, scope: unique.Make(strings.Join(d.Scope, " ")), start: seq, seq: seq,
		issuedAt: d.IssuedAt, accessExpires: d.AccessExpires, lastExpires: d.AccessExpires,
		idleExpires: d.AccessExpires, expires: d.AccessExpires, authTime: d.IssuedAt, device: deviceOf(e, d.IssuedAt),
	})
	return ""
}

// deviceOf returns where the event of a session that started then came from.
func deviceOf(e *events.Event, started int64) device {
	return device{started: started, address: placeOf(e.Address), agent: unique.Make(e.UserAgent)}
}

// grantee returns the client that a login was made through, as it was at a sequence; "" is a first-party login.
func (s *state) grantee(id string, seq uint64) (*client, voidReason) {
	if id == "" {
		return nil, ""
	}
	c := s.clients[id]
	switch {
	case c == nil:
		return nil, voidGone
	case c.disabled || c.seq != seq:
		return nil, voidChanged
	}
	return c, ""
}

// signed reports whether the key with the given kid is good. A kid is one key for ever, and a key that was revoked stays so.
func (s *state) signed(kid string) bool {
	k := s.keys[kid]
	return k != nil && !k.revoked
}

func (s *state) foldSessionRefreshed(seq uint64, e *events.Event, d *events.SessionRefreshed) voidReason {
	ses := s.sessions[d.Session]
	switch {
	case ses == nil || ses.user == nil:
		return voidGone
	case ses.seq != d.SessionSeq || ses.generation+1 != d.Generation || ses.user.seq != d.UserSeq || ses.user.disabled:
		return voidChanged
	case ses.client != nil && (ses.client.seq != d.ClientSeq || ses.client.disabled) || !s.signed(d.Key):
		return voidChanged
	}
	filed := sessionMinute(ses)
	ses.seq, ses.generation = seq, d.Generation
	ses.issuedAt, ses.accessExpires, ses.idleExpires = d.IssuedAt, d.AccessExpires, d.IdleExpires
	ses.lastExpires = max(ses.lastExpires, d.AccessExpires)
	ses.device = deviceOf(e, ses.device.started)
	ses.pace = paceAfter(ses.pace, d.IssuedAt, rotationCost)
	if sessionMinute(ses) < filed { // by a replica with a shorter idle time
		s.file(ses)
	}
	s.touchSession(ses)
	return ""
}

// foldRefreshReplayed decides only whether the decision that it records still holds: beyond the session's pace it changes
// nothing.
func (s *state) foldRefreshReplayed(d *events.RefreshReplayed) voidReason {
	ses := s.sessions[d.Session]
	switch {
	case ses == nil:
		return voidGone
	case ses.seq != d.SessionSeq || ses.generation != d.Generation || !s.signed(d.Key):
		return voidChanged
	}
	ses.pace = paceAfter(ses.pace, s.logTime/1e9, replayCost)
	s.touch(uint64(ses.pace))
	return ""
}

func (s *state) foldSessionRevoked(seq uint64, d *events.SessionRevoked) voidReason {
	ses := s.sessions[d.Session]
	if ses == nil || !d.User.IsZero() && (ses.user == nil || ses.user.id != d.User) {
		return voidGone
	}
	s.end(ses, seq)
	return ""
}

func (s *state) foldAllRevoked(seq uint64) voidReason {
	for _, ses := range s.sorted(func(*session) bool { return true }) {
		s.end(ses, seq)
	}
	for _, u := range s.users {
		u.cutoff, u.codes = seq, seq
	}
	for _, c := range s.clients {
		c.cutoff, c.codes = seq, seq
	}
	return ""
}

// sorted returns the live sessions that keep says, by id: ending them in the map's order would hand out word numbers in
// another order on each replica.
func (s *state) sorted(keep func(*session) bool) []*session {
	var list []*session
	for _, ses := range s.sessions {
		if keep(ses) {
			list = append(list, ses)
		}
	}
	slices.SortFunc(list, func(a, b *session) int { return strings.Compare(string(a.id[:]), string(b.id[:])) })
	return list
}

// begin makes ses live.
func (s *state) begin(ses *session) {
	ses.word = s.freeWord.take(s.logTime)
	s.sessions[ses.id] = ses
	s.file(ses)
	s.words.Set(ses.word, true)
	s.touchSession(ses)
}

// file has ses looked at when it may have ended. It is filed in that minute or an earlier one, as it is in a state that was loaded from a
// snapshot, or one of the two would forget it later than the other.
func (s *state) file(ses *session) {
	minute := max(sessionMinute(ses), s.swept)
	s.expiry[minute] = append(s.expiry[minute], ses.id)
}

// end revokes ses at seq. The revocation is written to the cache first and to the session's word second: a verification
// that has just filled the token cache reads the word afterwards.
func (s *state) end(ses *session, seq uint64) {
	// Counted from now at the least: a logout with an expired token, repeated, still finds its barrier.
	s.revoked.Insert(ses.id, seq, max(ses.lastExpires, s.logTime/1e9)+margin)
	s.forget(ses)
	s.touch(seq)
}

// forget removes ses, whose tokens are dead: revoked or expired.
func (s *state) forget(ses *session) {
	s.words.Set(ses.word, false)
	s.freeWord.put(ses.word, ses.lastExpires+margin)
	delete(s.sessions, ses.id)
	ses.unlink()
}

// renewWord gives ses a new live flag: verified tokens in the cache point to the old one and have to be looked at again.
func (s *state) renewWord(ses *session) {
	s.words.Set(ses.word, false)
	s.freeWord.put(ses.word, ses.lastExpires+margin)
	ses.word = s.freeWord.take(s.logTime)
	s.words.Set(ses.word, true)
}

func (s *state) touchSession(ses *session) {
	s.touch(binary.BigEndian.Uint64(ses.id[:8]), ses.start, ses.seq, uint64(ses.generation), uint64(ses.issuedAt),
		uint64(ses.accessExpires), uint64(ses.idleExpires), uint64(ses.expires))
}

// sessionMinute is the minute of log time in which ses can be forgotten if nothing refreshes it.
func sessionMinute(ses *session) int64 { return (sessionEnd(ses)+margin)/60 + 1 }

// sessionEnd is when ses can neither be refreshed nor used any more.
func sessionEnd(ses *session) int64 {
	return max(min(ses.idleExpires, ses.expires), ses.lastExpires)
}

// sweep forgets sessions and revocations that ended more than a margin before log time. It does so in the order in which the
// sessions started: in which minute one was filed shall not matter, so that it need not be in a snapshot.
func (s *state) sweep() {
	minute := s.logTime / 1e9 / 60
	if minute == s.swept {
		return
	}
	var ended []*session
	if s.swept == 0 || minute-s.swept > int64(len(s.expiry))+60 {
		// The first beat, or a jump of log time: visit the minutes that exist, not those that passed.
		for m := range s.expiry {
			if m < minute {
				ended = s.sweepMinute(m, minute, ended)
			}
		}
	} else {
		for m := s.swept; m < minute; m++ {
			ended = s.sweepMinute(m, minute, ended)
		}
	}
	slices.SortFunc(ended, func(a, b *session) int { return cmp.Compare(a.start, b.start) })
	for _, ses := range ended {
		if s.sessions[ses.id] == ses { // one may have been filed twice
			s.forget(ses)
		}
	}
	s.revoked.Purge(minute * 60)
	s.swept = minute
}

// sweepMinute adds the sessions of a minute that have ended to ended, and files the others anew.
func (s *state) sweepMinute(m, now int64, ended []*session) []*session {
	ids := s.expiry[m]
	delete(s.expiry, m)
	for _, id := range ids {
		ses := s.sessions[id]
		switch {
		case ses == nil:
		case sessionMinute(ses) >= now:
			s.expiry[sessionMinute(ses)] = append(s.expiry[sessionMinute(ses)], id)
		default:
			ended = append(ended, ses)
		}
	}
	return ended
}

// link puts ses at the head of its user's list.
func (ses *session) link() {
	u := ses.user
	ses.next = u.head
	if u.head != nil {
		u.head.prev = ses
	}
	u.head = ses
	u.count++
}

func (ses *session) unlink() {
	if ses.user == nil {
		return
	}
	if ses.prev != nil {
		ses.prev.next = ses.next
	} else {
		ses.user.head = ses.next
	}
	if ses.next != nil {
		ses.next.prev = ses.prev
	}
	ses.prev, ses.next = nil, nil
	ses.user.count--
}

// wordPool hands out indexes of live flags. An index is used again only after every token that was verified under it has
// expired by log time: a cached token may still point to it.
type wordPool struct {
	next uint32
	free []freeWord // by rising release time where lifetimes are equal; else an index merely waits longer
	dead []liveFlag // scratch: what the message in hand has cleared
}

// liveFlag names a live flag among all of them: of a session its index; flags that are kept apart begin higher.
type liveFlag uint64

type freeWord struct {
	word    uint32
	release int64 // Unix seconds of log time
}

func (p *wordPool) take(logTime int64) uint32 {
	if len(p.free) > 0 && p.free[0].release < logTime/1e9 {
		w := p.free[0].word
		p.free = p.free[1:]
		return w
	}
	p.next++
	return p.next - 1
}

func (p *wordPool) put(word uint32, release int64) {
	p.free = append(p.free, freeWord{word, release})
	p.dead = append(p.dead, liveFlag(word))
}
