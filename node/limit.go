package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/limit"
	"github.com/knell-auth/knell/internal/password"
)

// Limits says how guesses and refreshes are limited. The zero value of each field is its default.
type Limits struct {
	Off      bool          // nothing is limited: for benchmarks, and for those who limit elsewhere
	Free     int           // wrong passwords for one account from one address that cost no delay; 0: 5
	MaxDelay time.Duration // longest delay between two guesses, and the time after which one of them is forgotten; 0: 15 min

	Webhooks Webhooks // of where webhooks may go
}

func (l Limits) withDefaults() Limits {
	if l.Free <= 0 {
		l.Free = 5
	}
	if l.MaxDelay < time.Second {
		l.MaxDelay = 15 * time.Minute
	}
	setDefault(&l.Webhooks.GiveUp, 24*time.Hour)
	return l
}

// Bounds of a guess that has to wait for its turn.
const (
	// guessPatience is how long it waits before it is refused: long enough for right guesses of the same user that are under
	// way to succeed, and to slow a wrong one down without a word.
	guessPatience = 2 * time.Second
	// basicPatience is the same of a guess that a proxy asks about: proxies give a question up after 2 s and repeat it.
	basicPatience = 1500 * time.Millisecond
	// maxPatient is how many wait at a time. More are refused at once.
	maxPatient = 64
	// reserveTimeout bounds the reservation, which may take as long as an election: a turn to be hashed is held meanwhile.
	reserveTimeout = 5 * time.Second
)

// errTaken: another guess came first, and this one has to wait.
var errTaken = errors.New("another guess came first")

// guess is somebody's attempt to prove with a secret who they are. One of the ids is zero.
type guess struct {
	user     events.ID
	nameHash events.ID // of a name that no user has, or of an OAuth client's id
	origin   Origin
	patience time.Duration
	known    bool // what it is about was opened from this network before
}

// guessAt returns the guess at an account, which need not exist.
func (n *Node) guessAt(acc account, name string, o Origin) guess {
	g := guess{user: acc.id, origin: o, patience: guessPatience}
	if acc.id.IsZero() {
		g.nameHash = n.hashName(name)
	}
	return g
}

// tryPassword is checkPassword for everybody: within the limits, which are the same for an account that does not exist. When no
// session and no code is made of a right password, the caller owes a forgive. A *LimitedError says that the guess was not
// looked at.
func (n *Node) tryPassword(ctx context.Context, acc account, name, pw string, o Origin) (bool, error) {
	return n.tryGuess(ctx, n.guessAt(acc, name, o), acc, pw)
}

func (n *Node) tryGuess(ctx context.Context, g guess, acc account, pw string) (bool, error) {
	return n.guarded(ctx, g, func(h *password.Hasher) (bool, error) { return n.checkPassword(ctx, h, acc, pw) })
}

// guarded makes one guess by a slow check. It is reserved in the log first, when its turn to be hashed has come: it counts as a
// failure from then on, at all replicas, until something says that it was right. So guesses at many replicas at once share
// one budget, and a flood that is not hashed is not written down either.
func (n *Node) guarded(ctx context.Context, g guess, check func(*password.Hasher) (bool, error)) (bool, error) {
	if n.cfg.Limits.Off {
		return check(n.hasher)
	}
	patience := time.NewTimer(g.patience)
	defer patience.Stop()
	for {
		if err := n.awaitTurn(ctx, g, patience.C); err != nil {
			return false, err
		}
		ok, err := check(n.hasher.Admitting(func() error { return n.reserve(ctx, g) }))
		if errors.Is(err, errTaken) {
			continue
		}
		if ok && err == nil {
			n.room.own.forgive(n.target(g))
		}
		return ok, err
	}
}

// awaitTurn returns when g may be made as far as this replica knows. A short delay is waited for, since a right guess that is
// under way may end it at any message.
func (n *Node) awaitTurn(ctx context.Context, g guess, patience <-chan time.Time) error {
	wait, applied := n.guessWait(g)
	if wait <= 0 {
		return nil
	}
	if wait > g.patience || !n.room.own.enter() {
		return &LimitedError{wait}
	}
	defer n.room.own.leave()
	for wait > 0 {
		select {
		case <-n.wait.await(applied+1, n.hot.applied.Load):
		case <-patience:
			return &LimitedError{wait}
		case <-ctx.Done():
			return &LimitedError{wait}
		case <-n.ctx.Done():
			return ErrClosed
		}
		wait, applied = n.guessWait(g)
	}
	return nil
}

// guessWait returns how long g has to wait, and the sequence up to which that is known.
func (n *Node) guessWait(g guess) (time.Duration, uint64) {
	n.mu.RLock()
	t := n.targetLocked(g)
	t.known = t.known || g.known
	wait, applied := t.wait(n.state.guesses, n.state.logTime), n.state.seq
	n.mu.RUnlock()
	return max(wait, n.room.own.wait(t, n.mono())), applied
}

func (n *Node) target(g guess) target {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.targetLocked(g)
}

// targetLocked returns the target of g as the fold has it when this replica writes it down. n.mu is held.
func (n *Node) targetLocked(g guess) target {
	return n.state.targetOf(g.user, g.nameHash, n.cfg.Recording.network(g.origin.Address, n.state.hashKey))
}

// mono returns the monotonic clock in nanoseconds.
func (n *Node) mono() int64 { return int64(n.clock.read().Mono) }

// reserve counts g as a failure before it is looked at, or returns errTaken. While the log has no room for attempts this
// replica counts by itself.
//
// Guesses at one account reserve one after the other, and only while none has to wait: many that waited go on at the same
// moment, and the log would void all of them but one. So it grows with what is hashed.
func (n *Node) reserve(ctx context.Context, g guess) error {
	if n.nearlyFull(attemptShare) {
		return n.room.own.reserve(n.target(g), n.ownLimits(), n.mono())
	}
	ctx, cancel := context.WithTimeout(ctx, reserveTimeout)
	defer cancel()
	line := n.room.own.line(n.target(g))
	select {
	case line <- struct{}{}:
		defer func() { <-line }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if wait, _ := n.guessWait(g); wait > 0 {
		return errTaken
	}
	d := &events.AttemptStarted{
		User: g.user, NameHash: g.nameHash, Free: uint32(n.cfg.Limits.Free), MaxDelay: seconds(n.cfg.Limits.MaxDelay),
	}
	out, err := n.commit(ctx, n.attemptEvent(d, g), plain)
	switch {
	case errors.Is(err, ErrFull):
		return n.room.own.reserve(n.target(g), n.ownLimits(), n.mono())
	case err != nil:
		return err
	case out.void == voidLimited:
		return errTaken
	case out.void != "":
		return fmt.Errorf("%w: void (%s)", ErrUnknownOutcome, out.void)
	}
	n.noteLocks(g, out.seq)
	return nil
}

// attemptEvent returns an event about a guess of somebody who is not known yet.
func (n *Node) attemptEvent(d events.Payload, g guess) *events.Event {
	o := g.origin
	o.Actor = "anonymous"
	subject := g.user
	if subject.IsZero() {
		subject = g.nameHash
	}
	return n.newEvent(d, subject.String(), o)
}

// noteLocks records, in the background, for whom delays began with the reservation at seq.
func (n *Node) noteLocks(g guess, seq uint64) {
	n.mu.RLock()
	t := n.targetLocked(g)
	begun := map[limit.Key]int64{}
	for _, k := range t.keys() {
		if mark, until := n.state.guesses.Delayed(k); mark == seq {
			begun[k] = until
		}
	}
	n.mu.RUnlock()
	for k, until := range begun {
		d := &events.LockedOut{User: g.user, NameHash: g.nameHash, Until: until/1e9 + 1}
		if k.Account == (events.ID{}) {
			d.User, d.NameHash = events.ID{}, events.ID{}
		}
		n.recordAttempt(n.attemptEvent(d, g))
	}
}

// forgive takes back, in the background, what was counted for the account of g at its address: it was right.
func (n *Node) forgive(g guess) {
	if n.cfg.Limits.Off {
		return
	}
	n.recordAttempt(n.attemptEvent(&events.AttemptsForgiven{User: g.user, NameHash: g.nameHash}, g))
}

// recordAttempt appends e in the background, unless there is too much to do or too little room.
func (n *Node) recordAttempt(e *events.Event) {
	if n.nearlyFull(attemptShare) {
		return
	}
	n.later(func(ctx context.Context) {
		if _, err := n.write(ctx, e); err != nil {
			n.log.Debug("attempt not recorded", "error", err)
		}
	})
}

// UnlockUser forgets all failed guesses at a user's password, wherever they came from. It returns when every replica has.
func (n *Node) UnlockUser(ctx context.Context, id events.ID, o Origin) error {
	return n.changeUser(ctx, id, o, func(*user) events.Payload { return &events.AttemptsForgiven{User: id, Everywhere: true} })
}

// paced returns a *LimitedError when what costs so much comes too soon after what came before it.
func (n *Node) paced(pace, now, cost int64) error {
	over := paceAfter(pace, now, cost) - now*refreshRate - refreshBurst
	if over <= 0 || n.cfg.Limits.Off {
		return nil
	}
	return &LimitedError{time.Duration((over+refreshRate-1)/refreshRate) * time.Second}
}

// ownGuesses is what this replica limits by itself: who waits for a turn, and guesses that are not in the log. The zero value
// is ready for use.
type ownGuesses struct {
	mu      sync.Mutex
	table   *limit.Table // nil: nothing was ever counted
	patient int
	lines   [64]chan struct{} // where guesses stand to be reserved, by their account; nil: nobody ever stood there
}

// line returns where guesses at t stand. Few accounts share one: a reservation takes as long as the log does.
func (o *ownGuesses) line(t target) chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := &o.lines[int(t.account[0])%len(o.lines)]
	if *l == nil {
		*l = make(chan struct{}, 1)
	}
	return *l
}

func (o *ownGuesses) enter() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.patient >= maxPatient {
		return false
	}
	o.patient++
	return true
}

func (o *ownGuesses) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.patient--
}

func (o *ownGuesses) wait(t target, now int64) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.table == nil {
		return 0
	}
	return t.wait(o.table, now)
}

// ownLimits are the limits of a replica that counts by itself: it takes no more than its part of what is free.
func (n *Node) ownLimits() Limits {
	n.keeping.mu.Lock()
	replicas := len(n.keeping.peers) + 1
	n.keeping.mu.Unlock()
	l := n.cfg.Limits
	l.Free = max(1, l.Free/replicas)
	return l
}

func (o *ownGuesses) reserve(t target, l Limits, now int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.table == nil {
		o.table = limit.NewTable(maxCounted)
	}
	o.table.Sweep(now)
	if t.wait(o.table, now) > 0 {
		return errTaken
	}
	rules := rulesOf(l.Free, l.MaxDelay)
	for i, k := range t.keys() {
		o.table.Fail(k, rules[i], now, 0)
	}
	return nil
}

func (o *ownGuesses) forgive(t target) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.table != nil {
		t.forgive(o.table)
	}
}
