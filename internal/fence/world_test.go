package fence

import (
	"fmt"
	"time"
)

// The small world that search_test.go explores: one replica that revokes, another that verifies, in up to two lives that
// may overlap, and a log between them. Everything that can be late is: an append is committed at any time after it was
// made, an entry is applied at any time after its commit, a report arrives at any time after its sequence was applied,
// again and again, even after the death of its sender, or never. A pause of a process is that nothing of it happens
// while its clocks go on. Decisions about leases and barriers are made by real machines.

// lease is the length used in the world. Steps of the clocks are chosen so that they meet L and L(1+rho) exactly.
const lease = time.Duration(1000)

// rules says what may happen in a world, and how often.
type rules struct {
	broken   Mutation
	prompt   bool // the revoking replica applies an entry as soon as it is committed: a sooner horizon, a sooner return
	ticks    []tick
	maxTicks uint8
	beats    uint8 // of all lives together
	overlap  bool  // the second life may start while the first is alive
	crash    bool
	leave    bool
	restarts uint8         // of the revoking replica, from a snapshot or from the log's start
	steps    uint8         // of wall clocks
	length   time.Duration // of the verifier's leases

	// Broken assumptions and duties: see TestAssumptions.
	leaveServing bool // says that it left and goes on
	forget       bool // the snapshot does not say who held a lease
	reportEarly  bool // reports a sequence before its readers see it
	waitByWall   bool // the revoking replica shows its machine the wall clock as the monotonic one
	leaseByMono  bool // the verifier does not look at the wall clock
	hideLength   bool // pings do not say how long the leases are
	readEarly    bool // a reading from before the message arrived
	maxLog       int
}

// tick is by how much each clock advances in one step of time. Rates differ by at most a tenth between two replicas.
type tick struct {
	name              string
	verifier, revoker Reading
}

// both returns a tick in which the clocks of each replica agree.
func both(name string, verifier, revoker time.Duration) tick {
	return tick{name, Reading{verifier, verifier}, Reading{revoker, revoker}}
}

// Ticks. Twelve and a half short ones, or a long and a short one, make a lease or a horizon.
var (
	longSlow   = both("a long time, verifier slow", 920, 1012)
	longFast   = both("a long time, verifier fast", 1012, 920)
	shortSlow  = both("a short time, verifier slow", 80, 88)
	shortFast  = both("a short time, verifier fast", 88, 80)
	sleepLong  = tick{"a long time, verifier suspended", Reading{0, 1012}, Reading{1012, 1012}}
	revSleeps  = tick{"a long time, revoker suspended", Reading{920, 920}, Reading{0, 920}}
	frozen     = tick{"a long time, verifier's clocks stopped", Reading{}, Reading{1012, 1012}}
	driftShort = both("a long time, rates 1 : 1.2", 910, 1092)
)

type entryKind uint8

const (
	ping entryKind = iota
	revoke
	left
	hole // dropped by the log
)

// entry is a message of the log. The sequence of log[i] is i+1.
type entry struct {
	kind                   entryKind
	life, counter, applied uint8
}

// less orders entries in flight.
func (e entry) less(o entry) bool {
	return e.kind < o.kind || e.kind == o.kind && (e.life < o.life || e.life == o.life && e.counter < o.counter)
}

func (e entry) String() string {
	switch e.kind {
	case ping:
		return fmt.Sprintf("ping %c/%d", 'A'+e.life, e.counter)
	case revoke:
		return "revocation"
	case left:
		return fmt.Sprintf("%c left", 'A'+e.life)
	}
	return "hole"
}

type phase uint8

const (
	unborn phase = iota
	up
	dead
	// Of the revoker, after up.
	published
	waiting
	returned
)

// life is one incarnation of the verifier.
type life struct {
	m       *Machine // never changed in place: worlds share it
	phase   phase
	applied uint8
	counter uint8
	sees    bool  // its readers see the revocation
	hasLeft bool  // said so, and went on (rules.leaveServing)
	verify  uint8 // steps taken by the verification that began after the logout returned
	accepts bool  // what its look at the state said
	loaded  Lease // what its look at the lease said
	cached  Reading
}

// revoker is the replica that logs out.
type revoker struct {
	m           *Machine
	atPublish   *Machine // with SetAtPublish: gets no more beats after the publish call
	phase       phase
	applied     uint8
	seq         uint8 // of the revocation, when applied
	publishedAt time.Duration
	earlier     Reading // with rules.readEarly: a reading that is still in use
}

// world is one state. Copies are independent.
type world struct {
	log      [8]entry
	flight   [5]entry
	logged   uint8
	flying   uint8
	ticks    uint8
	beats    uint8
	restarts uint8
	steps    uint8
	skipped  bool
	verifier Reading
	revoker  Reading
	lives    [2]life
	rev      revoker
}

// incs are the lives' names.
var incs = []Incarnation{{'A'}, {'B'}}

// newWorld returns the state in which the revoker and the first life of the verifier have just started.
func newWorld(r *rules) world {
	var w world
	w.rev = revoker{m: New(Config{Self: Incarnation{'R'}, Length: lease, Break: r.broken}, w.revoker, nil), phase: up}
	w.start(r, 0)
	return w
}

// start begins a life of the verifier. It reads the whole log.
func (w *world) start(r *rules, i int) {
	w.lives[i] = life{
		m:      New(Config{Self: incs[i], Length: r.length, Break: r.broken}, w.seen(r), nil),
		phase:  up,
		cached: w.seen(r),
	}
	w.skip(i)
}

// seen returns what the verifier reads from its clocks.
func (w *world) seen(r *rules) Reading {
	if r.leaseByMono {
		return Reading{w.verifier.Mono, w.verifier.Mono}
	}
	return w.verifier
}

// revNow returns what the revoking replica reads from its clocks.
func (w *world) revNow(r *rules) Reading {
	if r.waitByWall {
		return Reading{w.revoker.Wall, w.revoker.Wall}
	}
	return w.revoker
}

// send puts an entry into flight. It returns false if there is no room.
func (w *world) send(r *rules, e entry) bool {
	if int(w.flying) == len(w.flight) || int(w.flying+w.logged) == r.maxLog {
		return false
	}
	// Sorted, because the order in flight says nothing.
	i := w.flying
	for ; i > 0 && e.less(w.flight[i-1]); i-- {
		w.flight[i] = w.flight[i-1]
	}
	w.flight[i] = e
	w.flying++
	return true
}

// commit appends the i-th entry in flight to the log.
func (w *world) commit(r *rules, i uint8) {
	w.log[w.logged] = w.flight[i]
	w.logged++
	copy(w.flight[i:], w.flight[i+1:w.flying])
	w.flying--
	w.flight[w.flying] = entry{}
	for i := range w.lives {
		w.skip(i)
	}
	if r.prompt && w.rev.phase != returned {
		w.applyRevoker(r)
	}
}

// skip lets a life apply, at once, entries that bear neither on its leases nor on what its readers see. This loses
// nothing: it may report higher sequences sooner, and reports can be late.
func (w *world) skip(i int) {
	l := &w.lives[i]
	for l.phase == up && l.applied < w.logged {
		if e := w.log[l.applied]; e.kind == revoke || e.kind == ping && int(e.life) == i {
			return
		}
		l.applied++
	}
}

// apply lets a life apply the next entry.
func (w *world) apply(r *rules, i int) {
	l := &w.lives[i]
	e := w.log[l.applied]
	l.applied++
	defer w.skip(i)
	switch e.kind {
	case revoke:
		l.sees = true
	case ping: // its own
		l.m = l.m.clone()
		l.m.Beat(uint64(l.applied), w.ping(r, e), w.seen(r))
	}
}

// ping returns what the entry says.
func (w *world) ping(r *rules, e entry) Ping {
	p := Ping{Inc: incs[e.life], Counter: uint64(e.counter), Applied: uint64(e.applied), Length: r.length}
	if r.hideLength {
		p.Length = 0
	}
	return p
}

// applyRevoker lets the revoking replica apply the next entry.
func (w *world) applyRevoker(r *rules) {
	v := &w.rev
	e := w.log[v.applied]
	v.applied++
	v.m = v.m.clone()
	now := w.revNow(r)
	if r.readEarly {
		now = v.earlier
	}
	switch e.kind {
	case ping:
		v.m.Beat(uint64(v.applied), w.ping(r, e), now)
	case left:
		v.m.Left(incs[e.life])
		if v.atPublish != nil {
			v.atPublish = v.atPublish.clone()
			v.atPublish.Left(incs[e.life])
		}
	case revoke:
		v.seq = v.applied
		w.barrier(r)
		return
	}
	w.settle(r)
}

// barrier lets the machine decide whom the logout waits for.
func (w *world) barrier(r *rules) {
	v := &w.rev
	if v.atPublish != nil {
		v.m, v.atPublish = v.atPublish.clone(), nil
	}
	v.phase = waiting
	if v.m.Barrier(uint64(v.seq), w.revNow(r), 1) {
		w.finish()
		return
	}
	w.settle(r)
}

// settle asks the machine whether the logout is complete. The sooner it returns, the more verifications begin after it.
func (w *world) settle(r *rules) {
	v := &w.rev
	if v.phase != waiting {
		return
	}
	now := w.revNow(r)
	v.m = v.m.clone()
	late := r.broken&WaitFromPublish != 0 && now.Mono >= v.publishedAt+horizon(lease)
	if late || len(v.m.Completed(nil, now)) > 0 {
		w.finish()
	}
}

// finish lets the logout return. What the revoking replica does afterwards does not matter.
func (w *world) finish() {
	w.rev = revoker{phase: returned}
	w.revoker = Reading{}
}

// step lets a verification take its next step and reports whether it has accepted a revoked token.
func (w *world) step(r *rules, i int) (violation bool) {
	l := &w.lives[i]
	look := func() { l.accepts = !l.sees }
	load := func() { l.loaded = l.m.Lease() }
	if r.broken&CacheBeforeLease != 0 {
		look, load = load, look
	}
	l.verify++
	switch l.verify {
	case 1:
		load()
	case 2:
		look()
	case 3:
		now := w.seen(r)
		if r.broken&CachedClock != 0 {
			now = l.cached
		}
		return l.accepts && l.loaded.Valid(now)
	}
	return false
}

// report delivers a report of life i to the revoking replica.
func (w *world) report(r *rules, i int, applied uint8) {
	v := &w.rev
	v.m = v.m.clone()
	v.m.Report(incs[i], uint64(applied))
	if v.atPublish != nil {
		v.atPublish = v.atPublish.clone()
		v.atPublish.Report(incs[i], uint64(applied))
	}
	w.settle(r)
}

// beat lets life i note its clocks and append a ping.
func (w *world) beat(r *rules, i int) {
	l := &w.lives[i]
	w.beats++
	l.counter++
	l.m = l.m.clone()
	l.m.Sent(uint64(l.counter), w.seen(r))
	w.send(r, entry{ping, uint8(i), l.counter, l.applied})
}

// stop ends life i. What it applied counts on, for reports that are under way.
func (w *world) stop(i int) { w.lives[i] = life{phase: dead, applied: w.lives[i].applied} }

// publish appends the revocation.
func (w *world) publish(r *rules) {
	v := &w.rev
	if !w.send(r, entry{kind: revoke}) {
		return
	}
	v.phase = published
	v.publishedAt = w.revNow(r).Mono
	if r.broken&SetAtPublish != 0 {
		v.atPublish = v.m.clone()
	}
}

// restart begins a new life of the revoking replica. The client asks it again, so the logout goes on: an event that was
// applied already gets its barrier at once.
func (w *world) restart(r *rules, snapshot bool) {
	v := &w.rev
	now := w.revNow(r)
	w.restarts++
	cfg := Config{Self: Incarnation{'R', w.restarts}, Length: lease, Break: r.broken}
	if !snapshot {
		v.m, v.applied, v.seq = New(cfg, now, nil), 0, 0
		if v.phase == waiting {
			v.phase = published
		}
		return
	}
	unseen := v.m.clone().Holders(now)
	if r.forget {
		unseen = nil
	}
	v.m = New(cfg, now, unseen)
	if v.phase == waiting {
		w.barrier(r)
	}
}
