package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/webhook"
)

const (
	fetchEvents = 64        // events that a delivery has in memory
	fetchBytes  = 128 << 10 // and about how much of their text
	fetchBeat   = 10 * time.Second

	mediaCloudEvent = "application/cloudevents+json"
)

// undelivered is an event that is to be sent, as it is in the log. What readers are told beside that is added at each attempt: a name
// must not outlive its user here.
type undelivered struct {
	seq  uint64
	text []byte
}

// errReleased: the claim has ended.
var errReleased = errors.New("the webhook is not this replica's any more")

// allows takes the three steps of a verification, with look as the look at the state: nil means that what look found holds now.
func (n *Node) allows(look func() bool) error {
	lease := n.hot.lease.Load()
	n.mu.RLock()
	ok := look()
	n.mu.RUnlock()
	switch {
	case !lease.Valid(n.clock.read()):
		return ErrNotCurrent
	case !ok:
		return errReleased
	}
	return nil
}

// may says whether something may be sent at this moment.
func (r *delivery) may() error {
	return r.n.allows(func() bool { return r.n.state.claimed(r.name, r.claim) })
}

// newSender returns a sender to the target of h, which asks may before each write.
func (n *Node) newSender(h *hook, may func() error) (*webhook.Sender, error) {
	t, err := webhook.ParseTarget(h.url, h.private)
	if err != nil {
		return nil, err
	}
	w := &n.cfg.Limits.Webhooks
	return &webhook.Sender{Target: t, Policy: n.policy(), Agent: "knell/" + n.cfg.Version, May: may, Roots: w.roots, Dial: w.dial}, nil
}

// sign returns the message of an attempt.
func (n *Node) sign(h *hook, id string, body []byte) *webhook.Message {
	at := n.clock.now().Unix()
	return &webhook.Message{
		ID: id, At: at, Signature: webhook.Sign(h.keys(n.unix(n.clock.read())), id, at, body), Type: mediaCloudEvent, Body: body,
	}
}

// message returns the message about an event: its text as GET /events gives it now.
func (n *Node) message(h *hook, e undelivered) (*webhook.Message, error) {
	var f events.Facts
	if err := events.Look(e.text, &f); err != nil {
		return nil, err
	}
	var envelope struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(e.text, &envelope); err != nil {
		return nil, err
	}
	n.mu.RLock()
	void := n.state.past.void(e.seq)
	n.mu.RUnlock()
	body := n.appendHead(make([]byte, 0, len(e.text)+192), e.seq, void, &f)
	return n.sign(h, envelope.ID, append(body, e.text[1:]...)), nil
}

// run delivers until the claim ends.
func (r *delivery) run() {
	defer r.n.hot.deliveries.ended(r)
	h, err := r.hold()
	if err == nil {
		err = r.deliver(h)
	}
	if err != nil && r.ctx.Err() == nil {
		r.n.log.Warn("a webhook is left for a while", "webhook", r.name, "error", err)
		_ = r.pause(r.n.cfg.Lease)
	}
}

// hold takes the webhook, unless this replica has it, and returns it when no other replica can be sending any more: all that may hold
// a lease know who has it.
func (r *delivery) hold() (*hook, error) {
	n := r.n
	n.mu.RLock()
	var owner events.ID
	var claim uint64
	if h := n.state.hooks[r.name]; h != nil {
		owner, claim = h.owner, h.claim
	}
	n.mu.RUnlock()
	if owner == n.life.inc {
		if err := n.barrier(r.ctx, claim); err != nil {
			return nil, err
		}
	} else {
		e := n.newEvent(&events.WebhookClaimed{Webhook: r.name, Incarnation: n.life.inc, Claim: claim}, r.name, Origin{Actor: "system"})
		out, err := n.commit(r.ctx, e, narrowing)
		switch {
		case err != nil:
			return nil, err
		case out.void != "": // somebody else was first, or it is not to be delivered any more
			r.cancel()
			return nil, errReleased
		}
		claim = out.seq
	}
	return r.begin(claim)
}

// begin notes the claim, from where on whatever ends it ends the delivery, and returns the webhook as it is under it.
func (r *delivery) begin(claim uint64) (*hook, error) {
	n, d := r.n, &r.n.hot.deliveries
	n.mu.RLock()
	defer n.mu.RUnlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !n.state.claimed(r.name, claim) {
		r.cancel()
		return nil, errReleased
	}
	h := *n.state.hooks[r.name]
	r.claim, r.written = claim, h.cursor
	r.progress = h.progress
	r.progress.Webhook, r.progress.Claim, r.progress.Cursor = r.name, claim, h.cursor
	r.next = time.Now().Add(time.Duration(h.progress.RetryAt-n.unix(n.clock.read())) * time.Second)
	return &h, nil
}

// deliver sends what is asked for, in the log's order.
func (r *delivery) deliver(h *hook) error {
	s, err := r.n.newSender(h, r.may)
	if err != nil {
		return err
	}
	defer s.Close()
	r.n.hot.feed.join()
	defer r.n.hot.feed.leave()
	q := h.query()
	for r.ctx.Err() == nil {
		list, to, err := r.n.fetch(r.ctx, q)
		var slow *SlowError
		switch {
		case errors.Is(err, ErrTrimmed):
			return r.stop(pausedTrimmed, err.Error())
		case errors.Is(err, ErrNotCurrent):
			_ = r.pause(r.n.cfg.Lease / beatsPerLease)
			continue
		case err != nil && !errors.As(err, &slow):
			return err
		}
		for _, e := range list {
			if err := r.send(s, h, e); err != nil {
				return err
			}
			q.After = e.seq
		}
		q.After = max(q.After, to)
		r.looked(q.After)
	}
	return nil
}

// fetch returns the next events that q asks for, when there are any or a while has passed, and how far it has looked. The follower of the
// feed is the caller. Nothing is held while they are sent: neither a turn to read the log, nor more than these.
func (n *Node) fetch(ctx context.Context, q EventQuery) (list []undelivered, to uint64, err error) {
	size, cut := 0, false
	take := func(b EventBatch) error {
		to = b.To
		for _, e := range b.Events {
			list = append(list, undelivered{e.Seq, append([]byte{'{'}, e.tail...)})
			if size += len(e.tail); len(list) == fetchEvents || size >= fetchBytes {
				to, cut = e.Seq, true
				return errEnough
			}
		}
		return nil
	}
	r, err := n.openReading(ctx, q, nil)
	if err != nil {
		return nil, 0, err
	}
	r.beat = fetchBeat
	if place, ok := n.hot.feed.place(r.at); ok {
		r.deliver = func(b EventBatch) error {
			_ = take(b)
			return errEnough
		}
		err = r.live(ctx, place)
	} else {
		r.deliver = take
		if err = r.page(ctx, fetchEvents, max(n.hot.feed.end(), r.at)); err == nil && !cut {
			to = max(r.at, r.after)
		}
	}
	if errors.Is(err, errEnough) {
		err = nil
	}
	return list, max(to, q.After), err
}

// send sends one event until it has arrived. An error ends the delivery.
func (r *delivery) send(s *webhook.Sender, h *hook, e undelivered) error {
	for {
		if err := r.awaitTurn(); err != nil {
			return err
		}
		m, err := r.n.message(h, e)
		if err != nil {
			return err
		}
		res := s.Send(r.ctx, m)
		switch {
		case res.Err == nil:
			r.arrived(e.seq)
			return nil
		case webhook.IsStopped(res.Err):
			if err := r.may(); errors.Is(err, errReleased) || r.ctx.Err() != nil {
				return errReleased
			}
			continue // the lease had ended, and is awaited
		case res.Status == 410: // Standard Webhooks: the target wants no more
			return r.stop(pausedGone, res.Err.Error())
		}
		if err := r.failed(res); err != nil {
			return err
		}
	}
}

// awaitTurn waits until the next attempt may be made, and this replica may make it.
func (r *delivery) awaitTurn() error {
	for {
		wait := time.Until(r.next)
		if wait <= 0 {
			err := r.may()
			if !errors.Is(err, ErrNotCurrent) {
				return err
			}
			wait = r.n.cfg.Lease / beatsPerLease
		}
		if err := r.pause(wait); err != nil {
			return err
		}
	}
}

// pause waits for d, or for the end of the delivery, which is an error.
func (r *delivery) pause(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-r.ctx.Done():
		return errReleased
	}
}

// arrived notes a delivery.
func (r *delivery) arrived(seq uint64) {
	d := &r.n.hot.deliveries
	d.mu.Lock()
	defer d.mu.Unlock()
	p := &r.progress
	p.Cursor, p.Success, p.Failing, p.Attempts, p.RetryAt, r.changed = seq, r.n.unix(r.n.clock.read()), 0, 0, 0, true
}

// looked notes that there is nothing more to deliver up to a sequence. By itself that is worth a message only now and then.
func (r *delivery) looked(to uint64) {
	d := &r.n.hot.deliveries
	d.mu.Lock()
	defer d.mu.Unlock()
	r.progress.Cursor = max(r.progress.Cursor, to)
	r.changed = r.changed || to-r.written >= progressSpan
}

// failed notes an attempt that failed, and when the next one is. After too long a time of them the webhook is paused.
func (r *delivery) failed(res webhook.Result) error {
	now := r.n.unix(r.n.clock.read())
	d := &r.n.hot.deliveries
	d.mu.Lock()
	p := &r.progress
	p.Attempts++
	if p.Failing == 0 {
		p.Failing = now
	}
	wait := webhook.Backoff(int(p.Attempts), res.RetryAfter, rand.Float64())
	r.next = time.Now().Add(wait)
	p.RetryAt, p.Error, r.changed = now+seconds(wait+time.Second-1), res.Err.Error(), true
	failing, attempts := time.Duration(now-p.Failing)*time.Second, p.Attempts
	d.mu.Unlock()
	if failing >= r.n.cfg.Limits.Webhooks.GiveUp {
		return r.stop(pausedFailing, fmt.Sprintf("no success in %v and %d attempts, at last: %v", failing, attempts, res.Err))
	}
	return nil
}

// stop pauses the webhook.
func (r *delivery) stop(cause, why string) error {
	e := r.n.newEvent(&events.WebhookPaused{Webhook: r.name, Cause: cause, Claim: r.claim}, r.name, Origin{Actor: "system", Reason: why})
	if _, err := r.n.commit(r.ctx, e, plain); err != nil && r.ctx.Err() == nil {
		return err
	}
	return nil
}
