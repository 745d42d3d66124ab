package node

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"slices"
	"strings"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/limit"
	"github.com/knell-auth/knell/internal/revoke"
	"github.com/knell-auth/knell/internal/token"
)

// code takes the whole state. Who is referred to comes first.
func (s *state) code(c *coder) {
	c.id(&s.epoch)
	c.id(&s.log)
	c.bytes(&s.hashKey)
	c.uint(&s.seq)
	c.id(&s.digest)
	c.int(&s.logTime)
	s.codeRoster(c)
	s.codeRetention(c)
	s.codeRoles(c)
	s.codeUsers(c)
	s.codeGrants(c)
	s.codeOAuth(c)
	s.codeKeyring(c)
	s.codeHooks(c)
	s.codeRecords(c)
	s.codeGuesses(c)
	s.codeRecent(c)
	s.codeRevoked(c)
	s.freeWord.code(c)
	s.codeSessions(c)
}

// lifeOf is a life and what is known of it.
type lifeOf struct {
	inc events.ID
	member
}

func (s *state) codeRoster(c *coder) {
	c.uint32(&s.level)
	c.uint(&s.pulse)
	var list []*lifeOf
	for inc, m := range s.members {
		list = append(list, &lifeOf{inc, m})
	}
	slices.SortFunc(list, func(a, b *lifeOf) int { return bytes.Compare(a.inc[:], b.inc[:]) })
	for _, l := range records(c, list, func(l *lifeOf) {
		c.id(&l.inc)
		c.text(&l.node)
		c.uint32(&l.level)
		c.near(&l.until, s.logTime)
		c.bool(&l.gone)
		c.near(&l.clock, s.logTime)
		c.after(&l.pulse, s.pulse)
		c.uint(&l.lease)
		c.after(&l.joined, s.seq)
		c.text(&l.issuer)
		c.text(&l.audience)
		c.text(&l.version)
	}) {
		s.members[l.inc] = l.member
	}
}

func (s *state) codeRetention(c *coder) {
	c.uint(&s.first)
	c.uint(&s.trimmedAt)
	s.checks = records(c, s.checks, func(k *snapshotCheck) {
		c.after(&k.seq, s.seq)
		c.fixed(k.hash[:])
		c.uint32(&k.format)
		c.list(&k.nodes)
	})
}

// roleOf is a role and its name.
type roleOf struct {
	name string
	*role
}

func (s *state) codeRoles(c *coder) {
	var list []*roleOf
	for name, r := range s.access.roles {
		list = append(list, &roleOf{name, r})
	}
	slices.SortFunc(list, func(a, b *roleOf) int { return strings.Compare(a.name, b.name) })
	for _, r := range records(c, list, func(r *roleOf) {
		if c.reading {
			r.role = new(role)
		}
		c.text(&r.name)
		c.list(&r.scope)
		c.after(&r.seq, s.seq)
	}) {
		s.access.roles[r.name] = r.role
	}
}

func (s *state) codeUsers(c *coder) {
	c.users = inOrder(s.users, func(a, b *user) int { return bytes.Compare(a.id[:], b.id[:]) })
	c.uint32(&s.access.flags)
	c.flags = s.access.flags
	c.users = records(c, c.users, func(u *user) { u.code(c, s.seq) })
	if !c.reading {
		c.userNumbers = numbered(c.users)
		return
	}
	s.users, s.names = make(map[events.ID]*user, len(c.users)), make(map[string]*user, len(c.users))
	for _, u := range c.users {
		s.users[u.id], s.names[u.name] = u, u
		s.access.live.Set(u.flag, !u.disabled)
		for _, k := range u.keys {
			k.user = u
			s.access.keys[k.id] = k
			s.access.live.Set(k.flag, !u.disabled)
		}
	}
}

func (u *user) code(c *coder, seq uint64) {
	c.id(&u.id)
	c.text(&u.name)
	c.text(&u.email)
	c.text(&u.fullName)
	c.text(&u.hash)
	c.list(&u.roles)
	c.list(&u.scope)
	c.after(&u.seq, seq)
	c.after(&u.credSeq, u.seq)
	c.uint(&u.cutoff)
	c.uint(&u.codes)
	c.uint(&u.stale)
	c.int(&u.created)
	c.bool(&u.disabled)
	for i := range u.networks {
		c.uint(&u.networks[i])
	}
	u.keys = records(c, u.keys, func(k *apiKey) { k.code(c) })
	c.flag(&u.flag)
	c.int(&u.pace)
}

func (k *apiKey) code(c *coder) {
	c.id(&k.id)
	c.text(&k.name)
	c.list(&k.scope)
	c.fixed(k.digest[:])
	c.fixed(k.old[:])
	c.int(&k.oldExpires)
	c.int(&k.expires)
	c.int(&k.created)
	c.int(&k.usedAt)
	c.uint(&k.seq)
	c.flag(&k.flag)
}

// codeGrants takes who reads events. The number of flags is known.
func (s *state) codeGrants(c *coder) {
	list := inOrder(s.access.grants, func(a, b *grant) int { return strings.Compare(a.name, b.name) })
	for _, g := range records(c, list, func(g *grant) {
		c.text(&g.name)
		c.text(&g.key)
		c.uint(&g.after)
		c.uint(&g.seq)
		c.int(&g.created)
		c.flag(&g.flag)
	}) {
		s.access.grants[g.name] = g
		s.access.live.Set(g.flag, true)
	}
}

// codeOf is a code and its id.
type codeOf struct {
	id events.ID
	*code
}

func (s *state) codeOAuth(c *coder) {
	c.clients = inOrder(s.clients, func(a, b *client) int { return strings.Compare(a.id, b.id) })
	c.clients = records(c, c.clients, func(cl *client) { cl.code(c) })
	if c.reading {
		for _, cl := range c.clients {
			s.clients[cl.id] = cl
		}
	} else {
		c.clientNumbers = numbered(c.clients)
	}
	c.int(&s.codesSwept)
	var list []*codeOf
	for id, k := range s.codes {
		list = append(list, &codeOf{id, k})
	}
	slices.SortFunc(list, func(a, b *codeOf) int { return bytes.Compare(a.id[:], b.id[:]) })
	for _, k := range records(c, list, func(k *codeOf) {
		if c.reading {
			k.code = new(code)
		}
		c.id(&k.id)
		k.code.code(c)
	}) {
		s.codes[k.id] = k.code
	}
}

func (cl *client) code(c *coder) {
	c.text(&cl.id)
	c.text(&cl.name)
	c.text(&cl.hash)
	c.text(&cl.oldHash)
	c.int(&cl.oldExpires)
	c.list(&cl.scope)
	c.list(&cl.redirects)
	c.uint(&cl.seq)
	c.uint(&cl.cutoff)
	c.uint(&cl.codes)
	c.uint(&cl.stale)
	c.int(&cl.created)
	c.bool(&cl.disabled)
}

// code takes a code. Whoever it was issued for may have been deleted since: then it is good for nothing any more, but is
// remembered for as long as it would have lived.
func (k *code) code(c *coder) {
	ref(c, c.users, c.userNumbers, &k.user)
	if k.user == nil || !c.reading && c.userNumbers[k.user] == 0 {
		if c.reading {
			k.user = new(user)
		}
		c.id(&k.user.id)
		c.uint(&k.user.seq)
		c.uint(&k.user.codes)
	}
	ref(c, c.clients, c.clientNumbers, &k.client)
	if k.client == nil || !c.reading && c.clientNumbers[k.client] == 0 {
		if c.reading {
			k.client = new(client)
		}
		c.text(&k.client.id)
		c.uint(&k.client.seq)
		c.uint(&k.client.codes)
	}
	c.list(&k.scope)
	c.uint(&k.seq)
	c.int(&k.issuedAt)
	c.int(&k.expires)
	c.id(&k.session)
}

func (s *state) codeKeyring(c *coder) {
	for _, k := range records(c, inOrder(s.keys, func(a, b *signingKey) int { return strings.Compare(a.id, b.id) }), func(k *signingKey) {
		k.code(c)
		newest := s.signers[k.node] == k
		if c.bool(&newest); newest {
			s.signers[k.node] = k
		}
	}) {
		s.keys[k.id], s.refresh[token.NewRefreshKeyID(k.refreshPublic)] = k, k
	}
}

func (k *signingKey) code(c *coder) {
	c.text(&k.id)
	c.text(&k.node)
	var alg string
	var public, refresh []byte
	if !c.reading {
		alg, public, refresh = k.verify.Algorithm(), k.verify.Public(), k.refreshPublic
	}
	c.text(&alg)
	c.bytes(&public)
	c.bytes(&refresh)
	c.uint(&k.seq)
	c.int(&k.used)
	c.bool(&k.revoked)
	if !c.reading || c.err != nil {
		return
	}
	var err error
	if k.verify, err = token.NewKey(alg, public); err != nil || len(refresh) != ed25519.PublicKeySize {
		c.fail(errCut)
	}
	k.refreshPublic = refresh
}

// codeRecords takes the public records that are owed, as the events that they will be.
func (s *state) codeRecords(c *coder) {
	var list []*record
	for _, r := range s.records {
		list = append(list, &r)
	}
	slices.SortFunc(list, func(a, b *record) int { return cmp.Compare(a.seq, b.seq) })
	for _, r := range records(c, list, func(r *record) {
		c.uint(&r.seq)
		c.int(&r.logTime)
		var text []byte
		e := r.origin
		if e.Data = r.data; !c.reading {
			var err error
			if text, err = events.Encode(nil, &e); err != nil {
				c.fail(err)
			}
		}
		if c.bytes(&text); c.reading && c.err == nil {
			if err := events.Decode(text, &e); err != nil {
				c.fail(err)
			}
			r.data, e.Data = e.Data, nil
			r.origin = e
		}
	}) {
		s.records[r.seq] = *r
	}
}

func (s *state) codeGuesses(c *coder) {
	var list []*limit.Entry
	for _, e := range s.guesses.Entries() {
		list = append(list, &e)
	}
	for _, e := range records(c, list, func(e *limit.Entry) {
		c.fixed(e.Key.Account[:])
		c.uint(&e.Key.Address)
		free, failures := uint64(e.Rule.Free), uint64(e.Failures)
		c.uint(&free)
		c.uint(&failures)
		e.Rule.Free, e.Failures = int(free), int(failures)
		delay, forget := int64(e.Rule.MaxDelay), int64(e.Rule.Forget)
		c.int(&delay)
		c.int(&forget)
		e.Rule.MaxDelay, e.Rule.Forget = time.Duration(delay), time.Duration(forget)
		c.near(&e.Since, s.logTime)
		c.near(&e.Until, s.logTime)
		c.uint(&e.Delayed)
	}) {
		if c.reading {
			s.guesses.Restore(*e)
		}
	}
}

func (s *state) codeRevoked(c *coder) {
	now := s.logTime / 1e9 // what expired before may or may not have been forgotten
	var list []*revoke.Entry
	if !c.reading {
		all := s.revoked.Entries(now)
		list = make([]*revoke.Entry, len(all))
		for i := range all {
			list[i] = &all[i]
		}
	}
	for _, e := range records(c, list, func(e *revoke.Entry) {
		c.fixed(e.ID[:])
		c.after(&e.Seq, s.seq)
		c.near(&e.Expires, now)
		if e.Seq == 0 || e.Seq > s.seq {
			c.fail(errCut)
		}
	}) {
		if c.reading {
			s.revoked.Insert(e.ID, e.Seq, e.Expires)
		}
	}
}
