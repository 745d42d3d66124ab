package node

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/knell-auth/knell/events"
)

// EventsFromNow is a position in the log: its end at the time of the call.
const EventsFromNow = math.MaxUint64

// EventQuery says which public events somebody wants. The zero value is all that the log has.
type EventQuery struct {
	After uint64    // those after this sequence; EventsFromNow: those to come
	Since time.Time // those whose time is not before it; zero: of any time
	// Types are those whose type begins so, with or without "knell.": "revoked", "session.started". None: all types.
	Types   []string
	Subject string // those with this subject; "": with any
	// User is the timeline of a user: the events that name it, and those of which it is the subject or the actor. Zero: of anybody.
	User events.ID
	// Session is the timeline of a session: the events that name it, and those after its start that ended all sessions of its user
	// or client, or of everybody. Zero: of any.
	Session events.ID
	// Sealed adds, in their places, the leaves of events that nobody may read, which have their sequences and salted hashes: all that
	// is needed to compute the Merkle tree of the log. For ReadEvents, and without the filters above.
	Sealed bool
}

// filtered reports whether q asks for a part of the log only.
func (q *EventQuery) filtered() bool {
	return !q.Since.IsZero() || q.Types != nil || q.Subject != "" || !q.User.IsZero() || !q.Session.IsZero()
}

// EventBatch is a part of what a query asks for. It is valid until the function that it is given to returns.
type EventBatch struct {
	Events []FoundEvent
	To     uint64 // everything that was asked for up to this sequence has been delivered, with this batch
}

// FoundEvent is a public event as readers get it. They share its text and must not change it.
type FoundEvent struct {
	Seq  uint64
	head []byte
	tail []byte
}

// AppendJSON appends the event, in one line: the CloudEvent as it is in the log, with the attributes of events.Notes.
func (e FoundEvent) AppendJSON(buf []byte) []byte { return append(append(buf, e.head...), e.tail...) }

// A matcher decides which events a query asks for. It sees them in order.
type matcher struct {
	types   []string
	since   time.Time
	subject string
	user    events.ID
	userID  []byte
	session events.ID
	owner   sessionOwner
}

// sessionOwner is whose session a timeline is of, between its start and its end.
type sessionOwner struct {
	known  bool
	user   events.ID // zero for a client's own token
	client string
}

// newMatcher returns the matcher of q, or ErrBadRequest for a type that nothing begins with.
func newMatcher(q *EventQuery) (*matcher, error) {
	if q.Sealed && q.filtered() {
		return nil, fmt.Errorf("%w: sealed leaves are for whoever reads the whole log: no filter goes with them", ErrBadRequest)
	}
	m := &matcher{since: q.Since, subject: q.Subject, user: q.User, session: q.Session}
	if !q.User.IsZero() {
		m.userID = []byte(q.User.String())
	}
	for _, t := range q.Types {
		prefix := strings.TrimPrefix(t, "knell.")
		is := func(known events.Type) bool { return strings.HasPrefix(string(known), prefix) }
		if prefix == "" || !slices.ContainsFunc(events.PublicTypes(), is) {
			return nil, fmt.Errorf("%w: no type of public events begins with %.64q", ErrBadRequest, t)
		}
		m.types = append(m.types, prefix)
	}
	// One that begins with another one says nothing new: what is left are no more than there are types, for each event to be compared with.
	slices.Sort(m.types)
	var last string
	m.types = slices.DeleteFunc(m.types, func(t string) bool {
		covered := last != "" && strings.HasPrefix(t, last)
		if !covered {
			last = t
		}
		return covered
	})
	return m, nil
}

// match reports whether an event is asked for; void says that it changed nothing.
func (m *matcher) match(f *events.Facts, void bool) bool {
	if !m.session.IsZero() && !m.ofSession(f, void) { // first: it has to see all of them
		return false
	}
	switch {
	case m.types != nil && !slices.ContainsFunc(m.types, func(t string) bool { return bytes.HasPrefix(f.Type, []byte(t)) }):
		return false
	case m.subject != "" && string(f.Subject) != m.subject:
		return false
	case m.userID != nil && f.User != m.user && !bytes.Equal(f.Subject, m.userID) && !bytes.Equal(f.Actor, m.userID):
		return false
	case !m.since.IsZero() && f.Time().Before(m.since):
		return false
	}
	return true
}

// narrow reports whether the index can say where to look.
func (m *matcher) narrow() bool { return !m.user.IsZero() || !m.session.IsZero() || m.subject != "" }

// mayBeIn reports whether a block may have an event that is asked for, or one that ofSession has to see, given what it has seen.
func (m *matcher) mayBeIn(b *indexBlock) bool {
	if !m.session.IsZero() {
		o := &m.owner
		return b.has(idKey(m.session)) || o.known && (b.has(everybody) || !o.user.IsZero() && b.has(idKey(o.user)) || o.client != "" && b.has(textKey(o.client)))
	}
	return (m.user.IsZero() || b.has(idKey(m.user))) && (m.subject == "" || b.has(textKey(m.subject)))
}

// ofSession reports whether an event belongs to the timeline of the session.
func (m *matcher) ofSession(f *events.Facts, void bool) bool {
	typ := events.Type(f.Type)
	if f.Session == m.session {
		switch {
		case void:
		case typ == events.TypeSessionStarted, typ == events.TypeClientToken:
			m.owner = sessionOwner{true, f.User, string(f.Client)}
		case typ == events.TypeSessionRevoked:
			m.owner.known = false
		}
		return true
	}
	belongs := false
	switch typ {
	case events.TypeUserRevoked, events.TypePasswordChanged:
		belongs = f.User == m.owner.user
	case events.TypeClientRevoked:
		belongs = m.owner.client != "" && string(f.Client) == m.owner.client
	case events.TypeAllRevoked:
		belongs = true
	}
	belongs = belongs && m.owner.known
	if belongs && !void && f.Except != m.session {
		m.owner.known = false
	}
	return belongs
}
