package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
	"github.com/knell-auth/knell/internal/token"
)

// beatsPerLease is how often in the length of a lease a beat is sent: the more, the longer an election may take without
// anybody's lease running out, and the more messages.
const beatsPerLease = 8

// ticksPerLease is how often the keeper looks whether a horizon has passed and repeats applied reports.
const ticksPerLease = 60

// keeping is the lease and the barriers of this replica: the pure machine of package fence, and what feeds it.
type keeping struct {
	mu      sync.Mutex // guards all below
	machine *fence.Machine
	peers   map[events.ID]*peer
	joined  map[events.ID]joining // what each life said when it joined
	counter uint64
	flying  int // beats that are being appended
	stopped bool
	failure error
	// owed are the replicas that wait for a report; told are those that got one lately and get it again.
	owed, told map[string]int
	warned     struct{ ahead, rival bool } // once
	lastDrift  time.Duration
	silent     []string // whom the oldest barrier waited for at the last tick

	begun, granted chan struct{}         // closed once
	ring           [digestRing]events.ID // guarded by Node.mu
	ringFrom       uint64                // no digest before this sequence is in ring; set before the apply loop runs
	mark           mark                  // of an earlier life; set before the apply loop runs, then read by it alone
	saved          kept
	broken         broken
}

// peer is another life as its beats describe it.
type peer struct {
	name     string
	applied  uint64
	digest   verdict
	lastBeat uint64
	key      token.RefreshKeyID // of its newest signed beat; zero: there was none
	counter  uint64             // of the same
	doubted  bool               // one after that was from somebody else
}

// verdict says whether a peer's digest agreed when it was last compared.
type verdict uint8

const (
	unknownDigest verdict = iota
	sameDigest
	otherDigest
)

func (k *keeping) init(n *Node, id identity) {
	k.machine = fence.New(n.fenceConfig(), n.clock.read(), nil)
	k.peers, k.joined = map[events.ID]*peer{}, map[events.ID]joining{}
	k.owed, k.told = map[string]int{}, map[string]int{}
	k.begun, k.granted = make(chan struct{}), make(chan struct{})
	k.mark = id.Checkpoint
	k.broken.noDigest = n.cfg.Break&fence.NoDigest != 0
	k.saved.identity = id
	k.saved.Incarnation, k.saved.Lock = n.life.inc.String(), inode(n.life.lock)
}

func (n *Node) fenceConfig() fence.Config {
	return fence.Config{Self: fence.Incarnation(n.life.inc), Length: n.cfg.Lease, Break: n.cfg.Break}
}

// begin notes that the log has its first event. Called by the apply loop.
func (k *keeping) begin() {
	select {
	case <-k.begun:
	default:
		close(k.begun)
	}
}

// checkMark compares the log with what an earlier life of this replica saw of it.
func (k *keeping) checkMark(seq uint64, s *state) error {
	if k.mark.Seq == 0 || seq > k.mark.Seq {
		return nil
	}
	if k.mark.Log != "" && k.mark.Log != s.log.String() || seq == k.mark.Seq && k.mark.Epoch != s.epoch.String() {
		return otherLog(k.mark, s)
	}
	if seq == k.mark.Seq && k.mark.Digest != s.digest.String() {
		return fmt.Errorf("%w: message %d is not the one that this replica applied before", events.ErrRewound, seq)
	}
	return nil
}

// otherLog returns the error of a log that does not lead through the mark, or began another epoch behind it.
func otherLog(m mark, s *state) error {
	if m.Log == s.log.String() {
		return fmt.Errorf("%w: it was restored from a backup since this data directory was used (epoch %s, now %s), and the keys in it are revoked: "+
			"move it away and start with an empty one", events.ErrRewound, m.Epoch, s.epoch)
	}
	return fmt.Errorf("%w: this data directory belongs to another log (epoch %s, not %s)", events.ErrRewound, m.Epoch, s.epoch)
}

// keep sends beats, lets barriers end at their horizons, repeats reports and watches the clocks, until the node ends.
func (n *Node) keep() {
	beat := time.NewTicker(n.cfg.Lease / beatsPerLease)
	defer beat.Stop()
	tick := time.NewTicker(n.cfg.Lease / ticksPerLease)
	defer tick.Stop()
	slow := time.NewTicker(5 * time.Second)
	defer slow.Stop()
	if err := n.checkLength(); err != nil {
		n.fatal(err)
		return
	}
	n.beat()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-beat.C:
			n.beat()
		case <-tick.C:
			n.hot.sample.Store(true)
			n.watchClocks()
			n.settle("")
			n.noteSilent()
			n.keeping.owesAgain()
			n.report()
		case <-slow.C:
			n.later(n.measureLog)
			n.later(n.settleRecords)
			n.later(n.dropReaders)
			n.saveCheckpoint()
		}
	}
}

// checkLength refuses a log that ends before what an earlier life applied. The node has just read its own joined event, so
// it has read the whole log.
func (n *Node) checkLength() error {
	if have := n.hot.applied.Load(); have < n.keeping.mark.Seq {
		return fmt.Errorf("%w: it ends at %d, this replica had applied %d", events.ErrRewound, have, n.keeping.mark.Seq)
	}
	return nil
}

// checkEpoch refuses a log that was restored since an earlier life, however far that had come. The node has read what was there when it
// started.
func (n *Node) checkEpoch() error {
	m := n.keeping.mark
	n.mu.RLock()
	defer n.mu.RUnlock()
	if m.Seq != 0 && m.Epoch != n.state.epoch.String() {
		return otherLog(m, n.state)
	}
	return nil
}

// beat notes the clocks and sends a beat. The lease that it brings is dated from here, not from its delivery.
func (n *Node) beat() {
	k := &n.keeping
	k.mu.Lock()
	if n.mayHaveToEndLocked(n.clock.read()) { // whoever has beaten is waited for
		k.mu.Unlock()
		return
	}
	// Without a lease one beat at a time is enough, and it is tried again by itself. More would pile up in a log server that
	// leads a minority, which has to take back all of them before it is of use again.
	if k.stopped || k.flying > 0 && !n.hot.lease.Load().Valid(n.clock.read()) {
		k.mu.Unlock()
		return
	}
	k.flying++
	k.counter++
	counter := k.counter
	k.machine.Sent(counter, n.clock.read())
	k.mu.Unlock()

	n.mu.RLock()
	ping := events.Ping{
		Node: n.cfg.Name, Incarnation: n.life.inc, Counter: counter, Applied: n.state.seq, Digest: n.state.digest, Level: n.life.level,
		LeaseMillis: uint64((n.cfg.Lease + time.Millisecond - 1) / time.Millisecond),
	}
	epoch := n.state.epoch
	n.mu.RUnlock()
	n.signBeat(epoch, &ping)
	e := n.newEvent(&events.NodeBeat{Pings: []events.Ping{ping}}, n.cfg.Name, Origin{Actor: "system"})
	n.work.Go(func() {
		// Given up soon: a younger one brings a longer lease.
		ctx, cancel := context.WithTimeout(n.ctx, 2*n.cfg.Lease/beatsPerLease)
		defer cancel()
		if _, err := n.write(ctx, e); err != nil {
			n.log.Debug("beat not appended", "counter", counter, "error", err)
			if errors.Is(err, events.ErrFull) {
				n.noteRoom(1)
			}
		}
		k.mu.Lock()
		k.flying--
		k.mu.Unlock()
	})
}

// publishLease makes lease the one that verifications read. k.mu is held, so that no older one overwrites it.
func (n *Node) publishLease(lease fence.Lease, now fence.Reading) {
	k := &n.keeping
	if k.stopped {
		return
	}
	n.hot.lease.Store(&lease)
	if lease.Valid(now) {
		select {
		case <-k.granted:
		default:
			close(k.granted)
		}
	}
}

// stopServing drops the lease for good, and ends what goes on under it.
func (n *Node) stopServing() {
	k := &n.keeping
	k.mu.Lock()
	k.stopped = true
	k.machine.Fence()
	n.hot.lease.Store(nil)
	k.mu.Unlock()
	n.hot.watches.close()
}

// watchClocks drops the lease when the wall clock was set back: a suspension after that could not be seen.
func (n *Node) watchClocks() {
	now := n.clock.read()
	k := &n.keeping
	k.mu.Lock()
	defer k.mu.Unlock()
	drift := now.Wall - now.Mono
	step := drift - k.lastDrift
	k.lastDrift = drift
	if step > n.cfg.Lease/20 {
		n.hot.counts.forward.Add(1)
	}
	if step < -n.cfg.Lease/20 {
		n.hot.counts.back.Add(1)
		n.log.Warn("wall clock was set back, lease dropped until the next beat", "step", step)
		k.machine.Fence()
		n.publishLease(k.machine.Lease(), now)
	}
}

// openBarrier fixes the replicas to wait for. The effect of the event at seq is visible here already.
func (n *Node) openBarrier(seq, tag uint64) {
	k := &n.keeping
	receipt := n.wait.receipt(tag)
	k.mu.Lock()
	if receipt != nil { // nobody else looks at it before the barrier is complete
		receipt.holders = n.holdersLocked()
	}
	now := n.clock.read()
	n.traceBarrierLocked(seq, tag, now)
	done := k.machine.Barrier(seq, now, tag)
	k.mu.Unlock()
	if done {
		n.wait.complete(tag, "")
	}
}

// settle lets the commands go on whose barrier is complete now that something was heard of a replica; from is "" when time
// has passed.
func (n *Node) settle(from string) {
	k := &n.keeping
	k.mu.Lock()
	now := n.clock.read()
	ended := n.endedWaitsLocked(now)
	tags := k.machine.Completed(nil, now)
	last := ""
	if len(tags) > 0 {
		last = k.lastLocked(from)
	}
	k.mu.Unlock()
	n.traceWaits(ended, from)
	if n.cfg.Break&endingEarly != 0 {
		tags = append(tags, n.wait.early(now)...)
	}
	for _, tag := range tags {
		n.wait.complete(tag, last)
	}
}

// fail notes why the node is fenced for good. It reports whether this is the first cause.
func (k *keeping) fail(cause error) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failure != nil {
		return false
	}
	k.failure = cause
	return true
}

func (k *keeping) cause() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failure
}

// owes notes that the replica to waits for a report.
func (k *keeping) owes(to string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.owed[to] = reportRepeats
}

// reportRepeats is how often a report is said again, a tick apart; after that the beats say it.
const reportRepeats = 3

// takeOwed returns the replicas that are to be told now.
func (k *keeping) takeOwed() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.owed) == 0 {
		return nil
	}
	list := make([]string, 0, len(k.owed))
	for to, left := range k.owed {
		list = append(list, to)
		if left > 0 {
			k.told[to] = left
		} else {
			delete(k.told, to)
		}
	}
	clear(k.owed)
	return list
}

// owesAgain lets the newest reports be repeated: a notice may be lost.
func (k *keeping) owesAgain() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for to, left := range k.told {
		if _, fresh := k.owed[to]; !fresh {
			k.owed[to] = left - 1
		}
	}
	clear(k.told)
}
