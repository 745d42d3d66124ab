package fence

import (
	"fmt"
	"slices"
	"time"
)

// Random schedules over a cluster of up to eight lives of three or more replicas, all of which log out, verify, crash,
// sleep and start again, from nothing or from anybody's old snapshot. A schedule is a byte string: three bytes an act.
// After each act every life that holds a lease is asked for every token whose logout has returned, and every barrier is
// compared with the oracle's.

const (
	maxMembers = 8
	// Between the slowest and the fastest clock lies a little less than a tenth.
	slowestRate = 9535
	fastestRate = 10480
)

// member is one life of a replica, or a life that a later one has replaced and that is not dead.
type member struct {
	m       *Machine
	o       *oracle
	inc     Incarnation
	alive   bool
	sleeps  bool // its machine may sleep; of others the wall clock may be set
	now     Reading
	rate    time.Duration // 1/10000
	length  time.Duration
	counter uint64
	applied uint64
	revoked map[uint64]bool // by sequence of the revocation
	tags    map[uint64]uint64
	nextTag uint64
}

// record is what a schedule has put into the log: a ping, a leave, or a revocation.
type record struct {
	ping  *Ping
	left  *Incarnation
	owner int // the member whose logout it is
}

type delivery struct {
	inc     Incarnation
	to      int
	applied uint64
}

type image struct {
	applied uint64
	revoked map[uint64]bool
	holders []Holder
}

type cluster struct {
	broken   Mutation
	members  []*member
	log      []record
	flight   []record
	net      []delivery
	images   []image
	returned map[uint64]bool // by sequence
}

// runSchedule returns what went wrong.
func runSchedule(broken Mutation, schedule []byte) error {
	c := &cluster{broken: broken, returned: map[uint64]bool{}}
	for i := range 3 {
		c.start(byte(i), byte(90*i))
	}
	for ; len(schedule) >= 3; schedule = schedule[3:] {
		c.act(schedule[0], schedule[1], schedule[2])
		if err := c.check(); err != nil {
			return err
		}
	}
	if broken != 0 {
		return nil
	}
	return c.drain()
}

// act does one thing. Acts that are impossible now do nothing.
func (c *cluster) act(what, a, b byte) {
	i := int(a) % len(c.members)
	v := c.members[i]
	switch what % 24 {
	case 0, 1:
		c.pass(nil, duration(b))
	case 2, 3, 4:
		if v.alive {
			v.counter++
			v.m.Sent(v.counter, v.now)
			c.flight = append(c.flight, record{ping: &Ping{v.inc, v.counter, v.applied, v.length}})
		}
	case 5, 6, 7, 8:
		c.commit(int(b), a < 8)
	case 9, 10, 11, 12, 13, 14:
		for range 1 + b%4 {
			c.apply(i)
		}
	case 15:
		if v.alive {
			c.flight = append(c.flight, record{owner: i})
		}
	case 16, 17, 18:
		for to := range c.members {
			c.net = append(c.net, delivery{v.inc, to, v.applied})
		}
	case 19, 20, 21:
		c.deliver(int(b), a%4 == 0)
	case 22:
		c.fate(i, b)
	case 23:
		c.clocks(v, a, b)
	}
}

// duration is short as a rule, and up to more than a lease.
func duration(b byte) time.Duration {
	if b < 192 {
		return time.Duration(b) * time.Millisecond
	}
	return time.Duration(b-191) * 60 * time.Millisecond
}

// fate lets a member crash, leave, fence itself, write a snapshot, repeat a logout or have a successor.
func (c *cluster) fate(i int, b byte) {
	v := c.members[i]
	if b%8 >= 6 {
		c.start(b>>3, b)
		return
	}
	if !v.alive {
		return
	}
	switch b % 8 {
	case 0:
		v.alive = false
		if b > 128 { // the successor holds its lock and says so
			c.flight = append(c.flight, record{left: &v.inc})
		}
	case 1:
		v.alive = false
		c.flight = append(c.flight, record{left: &v.inc})
	case 2:
		v.m.Fence()
	case 3, 4:
		revoked := map[uint64]bool{}
		for seq := range v.revoked {
			revoked[seq] = true
		}
		c.images = append(c.images, image{v.applied, revoked, v.m.Holders(v.now)})
	case 5:
		for seq := range v.revoked {
			if seq%8 == uint64(b>>3)%8 {
				c.barrier(v, seq, false)
				return // any of them: only one can be complete or not for all
			}
		}
	}
}

// start adds a life. It loads one of the snapshots or reads the whole log.
func (c *cluster) start(pick, b byte) {
	if len(c.members) == maxMembers {
		return
	}
	v := &member{
		alive:   true,
		sleeps:  b%2 == 0,
		rate:    slowestRate + time.Duration(b)*(fastestRate-slowestRate)/255,
		length:  time.Second * time.Duration(2+b%3/2),
		revoked: map[uint64]bool{},
		tags:    map[uint64]uint64{},
	}
	v.inc[0] = byte(len(c.members) + 1)
	v.now = Reading{time.Duration(b) * time.Hour, time.Duration(b) * -time.Hour}
	var unseen []Holder
	if k := int(pick) % (len(c.images) + 1); k > 0 {
		im := c.images[k-1]
		v.applied, unseen = im.applied, im.holders
		for seq := range im.revoked {
			v.revoked[seq] = true
		}
	}
	v.m = New(Config{Self: v.inc, Length: v.length, Break: c.broken}, v.now, unseen)
	v.o = newOracle(v.length, v.now, unseen)
	c.members = append(c.members, v)
}

func (c *cluster) pass(sleeper *member, d time.Duration) {
	for _, v := range c.members {
		own := d * v.rate / 10000
		v.now.Wall += own
		if v != sleeper {
			v.now.Mono += own
		}
	}
	for _, v := range c.members {
		c.poll(v)
	}
}

// clocks lets a machine sleep, or its wall clock be set, or its rate change. Nobody does both of the first: a step back
// could hide a sleep.
func (c *cluster) clocks(v *member, a, b byte) {
	switch {
	case a >= 128:
		v.rate = slowestRate + time.Duration(b)*(fastestRate-slowestRate)/255
	case v.sleeps:
		c.pass(v, duration(b))
	default:
		v.now.Wall += time.Duration(int8(b)) * 50 * time.Millisecond
	}
}

// commit moves an append into the log, or a second copy of a ping.
func (c *cluster) commit(k int, again bool) {
	if len(c.flight) == 0 {
		return
	}
	k %= len(c.flight)
	r := c.flight[k]
	c.log = append(c.log, r)
	if !again || r.ping == nil {
		c.flight = slices.Delete(c.flight, k, k+1)
	}
}

func (c *cluster) apply(i int) {
	v := c.members[i]
	if !v.alive || v.applied == uint64(len(c.log)) {
		return
	}
	r := c.log[v.applied]
	v.applied++
	switch {
	case r.ping != nil:
		v.m.Beat(v.applied, *r.ping, v.now)
		if r.ping.Inc != v.inc {
			v.o.beat(*r.ping, v.now)
		}
	case r.left != nil:
		v.m.Left(*r.left)
		if _, ok := v.o.newest[*r.left]; ok {
			v.o.gone[*r.left] = true
		}
	default:
		v.revoked[v.applied] = true
		if r.owner == i {
			c.barrier(v, v.applied, true)
		}
	}
	c.poll(v)
}

// barrier starts one. The oracle looks only at those that begin when their event is applied: for repeated ones the
// machine may know older horizons.
func (c *cluster) barrier(v *member, seq uint64, first bool) {
	v.nextTag++
	tag := v.nextTag
	v.tags[tag] = seq
	if first {
		v.o.barrier(seq, v.now, tag)
	}
	if v.m.Barrier(seq, v.now, tag) {
		c.finish(v, tag)
	}
	c.poll(v)
}

func (c *cluster) poll(v *member) {
	if !v.alive {
		return
	}
	for _, tag := range v.m.Completed(nil, v.now) {
		c.finish(v, tag)
	}
}

// finish returns a logout to its client.
func (c *cluster) finish(v *member, tag uint64) {
	c.returned[v.tags[tag]] = true
	delete(v.tags, tag)
	if _, ok := v.o.waits[tag]; ok && c.broken == 0 && !v.o.complete(tag, v.now) {
		panic("a barrier is complete too soon")
	}
	delete(v.o.waits, tag)
}

func (c *cluster) deliver(k int, lose bool) {
	if len(c.net) == 0 {
		return
	}
	k %= len(c.net)
	d := c.net[k]
	if lose {
		c.net = slices.Delete(c.net, k, k+1)
		return
	}
	v := c.members[d.to]
	v.m.Report(d.inc, d.applied)
	v.o.report(d.inc, d.applied)
	c.poll(v)
}

// check looks for a verification that would accept a token whose logout returned, and for barriers that wait although
// the oracle's are complete.
func (c *cluster) check() error {
	for i, v := range c.members {
		if !v.alive {
			continue
		}
		if l := v.m.Lease(); l.Valid(v.now) {
			for seq := range c.returned {
				if !v.revoked[seq] {
					return fmt.Errorf("member %d accepts a token that was revoked at %d; it has applied %d", i, seq, v.applied)
				}
			}
		}
		for tag := range v.o.waits {
			if c.broken == 0 && !v.o.revived && v.o.complete(tag, v.now) {
				return fmt.Errorf("member %d still waits for the barrier of %d", i, v.tags[tag])
			}
		}
	}
	return nil
}

// drain lets every barrier run out and checks that Next, Pending and Completed agree on when.
func (c *cluster) drain() error {
	for i, v := range c.members {
		for {
			at, ok := v.m.Next()
			if !ok || !v.alive {
				break
			}
			if at > v.now.Mono+horizon(3*time.Second) {
				return fmt.Errorf("member %d waits until %v, now %v", i, at, v.now.Mono)
			}
			seq, _ := v.m.pending.first()
			if who, until := v.m.Pending(seq, v.now); len(who) == 0 || until != at {
				return fmt.Errorf("member %d: next is %v, but %d waits for %d until %v", i, at, seq, len(who), until)
			}
			v.now.Mono = at - 1
			if early := v.m.Completed(nil, v.now); len(early) > 0 {
				return fmt.Errorf("member %d: complete before %v", i, at)
			}
			v.now.Mono = at
			done := v.m.Completed(nil, v.now)
			if len(done) == 0 {
				return fmt.Errorf("member %d: not complete at %v", i, at)
			}
		}
	}
	return nil
}
