package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/token"
)

// Readers keeps the consumers of those who read events over NATS. A Log that is one, as events.Log is, has them made and deleted with
// their grants; with any other one a grant lets its owner in, and there is nothing to read.
type Readers interface {
	// ReadersOutside says that readers reach the log's servers without coming to a replica.
	ReadersOutside() bool
	MakeReader(ctx context.Context, r events.Reader) error
	DropReader(ctx context.Context, name string) error
	ReaderState(ctx context.Context, name string) (events.ReaderState, error)
}

// maxGrants is how many grants there may be. Each has a consumer with as many copies as the log.
const maxGrants = 64

// NewGrant says who is to read the public events over NATS, and from where on.
type NewGrant struct {
	Name  string    // 1 to 32 of a-z, 0-9 and hyphens
	Key   string    // public NKey of whoever reads
	After uint64    // from the event after this sequence on; 0: all that the log has
	Since time.Time // from this time on, to a minute or two; zero: see After
}

// Grant lets somebody outside read all public events over NATS.
type Grant struct {
	Name     string
	Key      string // public NKey
	Consumer string // name of the durable consumer in the stream KNELL
	After    uint64
	Granted  time.Time
	Outside  bool // its reader reaches the log's servers, which have to be told of it, without coming to a replica
}

// GrantState is a grant, and how far its reader is.
type GrantState struct {
	Grant
	Here   int                 // connections to this replica
	First  uint64              // where the log begins now
	Reader *events.ReaderState // nil: it has no consumer
}

// Behind reports whether events may have been trimmed that the reader had not acknowledged: where it is there is the beginning of a
// log that once had more.
func (g *GrantState) Behind() bool {
	return g.Reader != nil && g.First > 1 && g.Reader.Acked < g.First && g.Reader.Pending+uint64(g.Reader.Unacked) > 0
}

// view copies g for callers.
func (g *grant) view() Grant {
	return Grant{Name: g.name, Key: g.key, Consumer: consumerOf(g.name, g.seq), After: g.after, Granted: time.Unix(g.created, 0).UTC()}
}

// readers returns what keeps the consumers, nil if nothing does.
func (n *Node) readers() Readers {
	readers, _ := n.cfg.Log.(Readers)
	return readers
}

// consumerOf returns the name of the consumer of a grant. No other grant ever has it, so that no late command about one that ended
// can hit its successor.
func consumerOf(name string, seq uint64) string { return name + "-" + strconv.FormatUint(seq, 10) }

// GrantEvents lets whoever has the key read all public events over NATS, and returns when every replica knows it and the consumer is
// there. To repeat it, with the same key and position, makes a consumer that is missing. Errors: ErrBadRequest, ErrExists when the
// name or the key has another grant, and the common ones.
func (n *Node) GrantEvents(ctx context.Context, ng NewGrant, o Origin) (Grant, error) {
	d, err := n.checkGrant(ctx, ng)
	if err != nil {
		return Grant{}, err
	}
	if err := n.change(ctx, d, d.Grant, o); err != nil {
		return Grant{}, err
	}
	n.mu.RLock()
	g := n.state.access.grants[d.Grant]
	n.mu.RUnlock()
	if g == nil { // revoked since
		return Grant{}, errNoGrant
	}
	made := g.view()
	if readers := n.readers(); readers != nil {
		made.Outside = readers.ReadersOutside()
		if err := readers.MakeReader(ctx, events.Reader{Name: made.Consumer, After: made.After}); err != nil {
			return Grant{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
		}
		n.mu.RLock()
		now := n.state.access.grants[d.Grant]
		n.mu.RUnlock()
		if now == nil || now.seq != g.seq { // revoked since: its consumer may have been deleted before it was made
			n.room.left.add(made.Consumer)
			return Grant{}, errNoGrant
		}
	}
	return made, nil
}

// errNoGrant: there is no such grant.
var errNoGrant = fmt.Errorf("%w: grant", ErrNotFound)

// checkGrant returns the event that grants what ng asks for.
func (n *Node) checkGrant(ctx context.Context, ng NewGrant) (*events.EventsGranted, error) {
	switch {
	case !events.ValidNodeName(ng.Name):
		return nil, fmt.Errorf("%w: the name of a grant must be 1 to 32 of a-z, 0-9 and -", ErrBadRequest)
	case !events.ValidReaderKey(ng.Key):
		return nil, fmt.Errorf("%w: the key must be the public NKey of a user, which begins with U", ErrBadRequest)
	case ng.After != 0 && !ng.Since.IsZero():
		return nil, fmt.Errorf("%w: a sequence to begin after and a time to begin at are alternatives", ErrBadRequest)
	case n.nearlyFull(adminShare):
		return nil, ErrFull
	}
	if err := n.reach(ctx, ng.After); err != nil {
		return nil, err
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if len(n.state.access.grants) >= maxGrants && n.state.access.grants[ng.Name] == nil {
		return nil, fmt.Errorf("%w: there are %d grants already", ErrBadRequest, maxGrants)
	}
	d := &events.EventsGranted{Grant: ng.Name, Key: ng.Key, After: ng.After}
	if !ng.Since.IsZero() {
		d.After = n.state.past.before(ng.Since.Unix())
	}
	return d, nil
}

// RevokeGrant ends a grant and returns when no replica serves whoever has its key any more, and its consumer is gone. Errors:
// ErrNotFound and the common ones.
func (n *Node) RevokeGrant(ctx context.Context, name string, o Origin) error {
	n.mu.RLock()
	g := n.state.access.grants[name]
	n.mu.RUnlock()
	if g == nil {
		return n.gone(ctx, "grant")
	}
	if err := n.change(ctx, &events.GrantRevoked{Grant: name}, name, o); err != nil {
		return err
	}
	n.dropReaders(ctx)
	return nil
}

// leftReaders are consumers of revoked grants that may be there still: nobody can reach them any more, and they take room. Every replica
// deletes them when it has applied the revocation, and again until it knows that they are gone, whatever becomes of the one that was told to
// revoke.
type leftReaders struct {
	mu    sync.Mutex
	names map[string]struct{}
}

func (l *leftReaders) add(consumer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.names == nil {
		l.names = map[string]struct{}{}
	}
	l.names[consumer] = struct{}{}
}

// readerOf returns the consumer of the grant that the message in hand ends unless it is void, "" when there is none. Node.mu is held.
func (n *Node) readerOf(p events.Payload) string {
	if d, ok := p.(*events.GrantRevoked); ok {
		if g := n.state.access.grants[d.Grant]; g != nil {
			return consumerOf(g.name, g.seq)
		}
	}
	return ""
}

// dropReaders deletes the consumers of revoked grants.
func (n *Node) dropReaders(ctx context.Context) {
	readers := n.readers()
	if readers == nil {
		return
	}
	n.room.left.mu.Lock()
	names := slices.Sorted(maps.Keys(n.room.left.names))
	n.room.left.mu.Unlock()
	for _, name := range names {
		if err := readers.DropReader(ctx, name); err != nil {
			n.log.Warn("the consumer of a revoked grant is still there: trying again", "consumer", name, "error", err)
			if ctx.Err() != nil {
				return
			}
			continue
		}
		n.room.left.mu.Lock()
		delete(n.room.left.names, name)
		n.room.left.mu.Unlock()
	}
}

// Grants returns all grants, by name, and how far their readers are. Errors: ErrNotCurrent; the log's, if it does not answer.
func (n *Node) Grants(ctx context.Context) ([]GrantState, error) {
	lease := n.hot.lease.Load()
	n.mu.RLock()
	list := make([]GrantState, 0, len(n.state.access.grants))
	for _, g := range n.state.access.grants {
		list = append(list, GrantState{Grant: g.view(), Here: n.hot.watches.under(accessFlag(g.flag))})
	}
	n.mu.RUnlock()
	if !lease.Valid(n.clock.read()) {
		return nil, ErrNotCurrent
	}
	slices.SortFunc(list, func(a, b GrantState) int { return cmp.Compare(a.Name, b.Name) })
	readers := n.readers()
	if readers == nil || len(list) == 0 {
		return list, nil
	}
	stat, err := n.cfg.Log.Stat(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	for i := range list {
		list[i].First, list[i].Outside = stat.First, readers.ReadersOutside()
		state, err := readers.ReaderState(ctx, list[i].Consumer)
		switch {
		case errors.Is(err, events.ErrNoReader):
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
		default:
			list[i].Reader = &state
		}
	}
	return list, nil
}

// Admit returns the grant of a public NKey whose private half somebody has proven to have, and watches it: the context of the Watch
// ends when the grant is revoked, before this replica reports that it has applied that, and with the lease. The caller has to Stop
// the Watch. Errors: ErrInvalidKey for a key that has no grant, ErrNotCurrent.
func (n *Node) Admit(ctx context.Context, key string) (Grant, *Watch, error) {
	lease := n.hot.lease.Load()
	var found Grant
	var claims *token.Claims
	n.mu.RLock()
	if g := n.state.grantOf(key); g != nil {
		// As those of an API key: the number of the live flag stands for a session's start.
		found, claims = g.view(), &token.Claims{Subject: g.name, ID: g.name, Expires: never, Start: uint64(g.flag)}
	}
	n.mu.RUnlock()
	switch {
	case !lease.Valid(n.clock.read()):
		return Grant{}, nil, ErrNotCurrent
	case claims == nil:
		return Grant{}, nil, ErrInvalidKey
	}
	return found, n.Watch(ctx, Identity{claims}), nil
}

// under returns how many watches there are of a live flag.
func (ws *watches) under(flag liveFlag) (count int) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := ws.byFlag[flag]; w != nil; w = w.next {
		count++
	}
	return count
}
