package node

import (
	"bytes"
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/knell-auth/knell/events"
)

// Kinds of what may follow in a session.
const (
	sessionRemembered = 1 << iota
	sessionPaced
	sessionEnding
	sessionV4   // four bytes of address
	sessionAddr // sixteen
)

// codeSessions takes the live sessions in the order in which they started. That is also the order of each user's list.
func (s *state) codeSessions(c *coder) {
	c.int(&s.swept)
	list := inOrder(s.sessions, func(a, b *session) int { return cmp.Compare(a.start, b.start) })
	last := &session{} // of which the next one differs little
	if !c.reading {
		records(c, list, func(ses *session) {
			ses.code(c, last)
			last = ses
		})
		return
	}
	s.sessions = make(map[events.ID]*session, min(len(c.buf)/leastSession, 1<<26))
	enter, done := s.entering()
	batch := make([]*session, 0, sessionBatch)
	records(c, list, func(ses *session) {
		ses.code(c, last)
		if ses.word >= s.freeWord.next { // there is room for all up to the greatest
			c.fail(errCut)
			return
		}
		last = ses
		if batch = append(batch, ses); len(batch) == sessionBatch {
			enter <- batch
			batch = make([]*session, 0, sessionBatch)
		}
	})
	enter <- batch
	close(enter)
	<-done
}

// sessionBatch is how many sessions are entered at a time.
const sessionBatch = 1024

// entering enters sessions beside the reading of those that follow, which takes about as long, until enter is closed.
func (s *state) entering() (enter chan<- []*session, done <-chan struct{}) {
	batches, ended := make(chan []*session, 8), make(chan struct{})
	go func() {
		defer close(ended)
		for batch := range batches {
			for _, ses := range batch {
				s.sessions[ses.id] = ses
				s.words.Set(ses.word, true)
				s.file(ses)
				if ses.user != nil {
					ses.link()
				}
			}
		}
	}()
	return batches, ended
}

// leastSession is how many bytes a session takes at least.
const leastSession = 32

func (ses *session) code(c *coder, last *session) {
	c.id(&ses.id)
	ref(c, c.users, c.userNumbers, &ses.user)
	ref(c, c.clients, c.clientNumbers, &ses.client)
	c.word(&ses.scope)
	c.after(&ses.start, last.start)
	c.after(&ses.seq, ses.start)
	c.near(&ses.issuedAt, last.issuedAt)
	c.near(&ses.accessExpires, ses.issuedAt)
	c.near(&ses.lastExpires, ses.accessExpires)
	c.near(&ses.idleExpires, ses.issuedAt)
	c.near(&ses.expires, ses.issuedAt)
	c.near(&ses.authTime, ses.issuedAt)
	c.uint32(&ses.generation)
	word := int64(ses.word)
	c.near(&word, int64(last.word))
	ses.word = uint32(word)
	c.near(&ses.device.started, ses.issuedAt)
	c.word(&ses.device.agent)
	flags := ses.flags()
	c.uint(&flags)
	ses.remember = flags&sessionRemembered != 0
	if flags&sessionPaced != 0 {
		c.near(&ses.pace, ses.issuedAt*refreshRate)
	}
	if flags&sessionEnding != 0 {
		c.near(&ses.endings, ses.issuedAt*refreshRate)
	}
	switch a := &ses.device.address; {
	case flags&sessionV4 != 0:
		if c.fixed(a[12:]); c.reading {
			a[10], a[11] = 0xff, 0xff
		}
	case flags&sessionAddr != 0:
		c.fixed(a[:])
	}
}

// flags says which fields follow.
func (ses *session) flags() (flags uint64) {
	if ses.remember {
		flags |= sessionRemembered
	}
	if ses.pace != 0 {
		flags |= sessionPaced
	}
	if ses.endings != 0 {
		flags |= sessionEnding
	}
	switch a := netip.AddrFrom16(ses.device.address); {
	case a.Is4In6():
		flags |= sessionV4
	case ses.device.address != [16]byte{}:
		flags |= sessionAddr
	}
	return flags
}

func (p *wordPool) code(c *coder) {
	c.uint32(&p.next)
	var list []*freeWord
	if !c.reading {
		list = make([]*freeWord, len(p.free))
		for i := range p.free {
			list[i] = &p.free[i]
		}
	}
	last := &freeWord{}
	list = records(c, list, func(w *freeWord) {
		word := int64(w.word)
		c.near(&word, int64(last.word))
		w.word = uint32(word)
		c.near(&w.release, last.release)
		last = w
	})
	if !c.reading {
		return
	}
	p.free = make([]freeWord, len(list))
	for i, w := range list {
		p.free[i] = *w
	}
}

// codeRecent takes what is remembered of messages.
func (s *state) codeRecent(c *coder) {
	m := &s.seen
	c.near(&m.since, s.logTime)
	for _, set := range []*map[events.ID]struct{}{&m.now, &m.before} {
		ids := slices.SortedFunc(maps.Keys(*set), func(a, b events.ID) int { return bytes.Compare(a[:], b[:]) })
		n := c.count(len(ids))
		if c.reading && n > 0 {
			ids, *set = make([]events.ID, n), make(map[events.ID]struct{}, n)
		}
		for i := range ids {
			c.id(&ids[i])
			if c.reading {
				(*set)[ids[i]] = struct{}{}
			}
		}
	}
	s.past.code(c)
	s.leaves.code(c)
}

func (p *past) code(c *coder) {
	reasons := make([]string, len(p.reasons))
	for i, r := range p.reasons {
		reasons[i] = string(r)
	}
	if c.list(&reasons); c.reading {
		for _, r := range reasons {
			p.reasons = append(p.reasons, voidReason(r))
		}
	}
	c.int(&p.first)
	for _, list := range []*[]uint64{&p.voids, &p.minutes} {
		n := c.count(len(*list))
		if c.reading && n > 0 {
			*list = make([]uint64, n)
		}
		var last uint64
		for i := range *list {
			c.after(&(*list)[i], last)
			last = (*list)[i]
		}
	}
}
