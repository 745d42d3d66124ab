package node

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/knell-auth/knell/events"
)

// progressEvery is how often a replica writes down how far its deliveries have got, if they have: one message for all of its webhooks.
// What was delivered after it is delivered again when the replica dies.
const progressEvery = time.Second

// progressSpan is after how many messages in which nothing was asked for that is written down all the same. So an idle webhook is not
// left behind where the log is trimmed, and no message about progress makes another one.
const progressSpan = 1 << 14

// deliveries are those that this replica makes, or is about to.
type deliveries struct {
	poke chan struct{} // holds a token when the state is to be looked at
	work crew
	ctx  context.Context // of all deliveries
	end  context.CancelFunc

	mu      sync.Mutex
	running map[string]*delivery           // by webhook
	left    map[string]events.HookProgress // of those that have ended, to be written down
	orphans map[string]time.Duration       // when this replica saw first, by its monotonic clock, that nobody delivers; the supervisor's
}

// delivery is what one goroutine does for one webhook. It ends when its claim does.
type delivery struct {
	n      *Node
	name   string
	ctx    context.Context
	cancel context.CancelFunc
	next   time.Time // before which nothing is sent; its goroutine's

	// Guarded by deliveries.mu.
	claim    uint64              // 0: not yet held
	progress events.HookProgress // newest
	changed  bool                // it is worth a message
	written  uint64              // cursor that is in the log
}

func (d *deliveries) init(ctx context.Context) {
	d.poke = make(chan struct{}, 1)
	d.ctx, d.end = context.WithCancel(ctx)
	d.running, d.left, d.orphans = map[string]*delivery{}, map[string]events.HookProgress{}, map[string]time.Duration{}
}

// look has the supervisor look at the state.
func (d *deliveries) look() {
	select {
	case d.poke <- struct{}{}:
	default:
	}
}

// close ends all deliveries and awaits them.
func (d *deliveries) close() {
	d.end()
	d.work.wait()
}

// progress returns the newest of a webhook that this replica delivers under a claim.
func (d *deliveries) progress(name string, claim uint64) (events.HookProgress, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.running[name]
	if r == nil || claim == 0 || r.claim != claim {
		return events.HookProgress{}, false
	}
	return r.progress, true
}

// endDeliveries cuts off the deliveries whose claim the message in hand has ended. The apply loop calls it with n.mu held: nobody can
// report the sequence of the message before that.
func (n *Node) endDeliveries(p events.Payload) {
	switch p.(type) {
	case *events.SecretWebhook, *events.SecretWebhookSecret, *events.WebhookDeleted, *events.WebhookPaused, *events.WebhookResumed,
		*events.WebhookCursorSet, *events.WebhookClaimed:
	default:
		return
	}
	d := &n.hot.deliveries
	d.mu.Lock()
	for name, r := range d.running {
		if r.claim != 0 && !n.state.claimed(name, r.claim) {
			r.cancel()
		}
	}
	d.mu.Unlock()
	d.look()
}

// claimed reports whether a claim is the one that holds.
func (s *state) claimed(name string, claim uint64) bool {
	h := s.hooks[name]
	return h != nil && h.claim == claim
}

// superviseWebhooks has this replica deliver what it is its turn to, and writes down how far that has got, until the node ends.
func (n *Node) superviseWebhooks() {
	d := &n.hot.deliveries
	look := time.NewTicker(n.cfg.Lease / beatsPerLease)
	defer look.Stop()
	write := time.NewTicker(progressEvery)
	defer write.Stop()
	for {
		select {
		case <-n.ctx.Done():
			d.close()
			return
		case <-d.poke:
			n.takeWebhooks()
		case <-look.C:
			n.takeWebhooks()
		case <-write.C:
			n.writeProgress(n.ctx)
		}
	}
}

// takeWebhooks begins to deliver for webhooks that are this replica's, or whose replica is gone, when it is this one's turn: the first in
// an order of the live ones that differs from webhook to webhook takes it at once, the next one half a lease later. That two try is
// harmless: the first in the log has it.
func (n *Node) takeWebhooks() {
	now := n.clock.read()
	if !n.hot.lease.Load().Valid(now) {
		return
	}
	n.keeping.mu.Lock()
	live := n.keeping.horizons(now)
	n.keeping.mu.Unlock()
	live[n.life.inc] = 1
	d := &n.hot.deliveries
	n.mu.RLock()
	defer n.mu.RUnlock()
	maps.DeleteFunc(d.orphans, func(name string, _ time.Duration) bool { return n.state.hooks[name] == nil })
	for name, h := range n.state.hooks {
		_, alive := live[h.owner]
		mine := h.owner == n.life.inc
		if h.paused != "" || alive && !mine {
			delete(d.orphans, name)
			continue
		}
		since, known := d.orphans[name]
		if !known {
			since = now.Mono
			d.orphans[name] = since
		}
		if mine || now.Mono-since >= time.Duration(turn(name, n.life.inc, live))*n.cfg.Lease/2 {
			n.startDelivery(name)
		}
	}
}

// turn returns the place of a life among those that are live, in the order of a webhook (rendezvous hashing).
func turn(name string, inc events.ID, live map[events.ID]time.Duration) (place int) {
	weight := func(inc events.ID) []byte {
		w := events.DeriveID("webhook", []byte(name), inc[:])
		return w[:]
	}
	mine := weight(inc)
	for other := range live {
		if bytes.Compare(weight(other), mine) > 0 {
			place++
		}
	}
	return place
}

// startDelivery begins to deliver, unless this replica does already.
func (n *Node) startDelivery(name string) {
	d := &n.hot.deliveries
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running[name] != nil {
		return
	}
	r := &delivery{n: n, name: name}
	r.ctx, r.cancel = context.WithCancel(d.ctx)
	if !d.work.Go(r.run) {
		r.cancel()
		return
	}
	d.running[name] = r
}

// ended forgets a delivery, but for what is to be written down.
func (d *deliveries) ended(r *delivery) {
	r.cancel()
	r.n.mu.RLock()
	d.mu.Lock()
	delete(d.running, r.name)
	if r.changed && r.n.state.claimed(r.name, r.claim) {
		d.left[r.name] = r.progress
	}
	d.mu.Unlock()
	r.n.mu.RUnlock()
	d.look()
}

// writeProgress writes down how far the deliveries have got.
func (n *Node) writeProgress(ctx context.Context) {
	d := &n.hot.deliveries
	var list []events.HookProgress
	d.mu.Lock()
	for _, name := range slices.Sorted(maps.Keys(d.left)) {
		list = append(list, d.left[name])
	}
	for _, name := range slices.Sorted(maps.Keys(d.running)) {
		if r := d.running[name]; r.changed {
			list = append(list, r.progress)
		}
	}
	d.mu.Unlock()
	if len(list) == 0 || n.nearlyFull(adminShare) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, progressEvery)
	defer cancel()
	e := n.newEvent(&events.WebhookProgress{Hooks: list}, n.cfg.Name, Origin{Actor: "system"})
	if _, err := n.write(ctx, e); err != nil {
		n.log.Debug("progress of webhooks not written down", "error", err)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range list {
		if d.left[p.Webhook] == p {
			delete(d.left, p.Webhook)
		}
		if r := d.running[p.Webhook]; r != nil && r.claim == p.Claim {
			r.written = p.Cursor
			r.changed = r.changed && r.progress != p
		}
	}
}
