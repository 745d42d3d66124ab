package limit

import (
	"bytes"
	"cmp"
	"container/heap"
	"time"
)

// Key names what failures are counted for: an account at an address, an account at all of them (Address 0), or an address
// (zero Account).
type Key struct {
	Account [16]byte
	Address uint64
}

// Table counts failures by key. It holds so many keys at most: then the one that would be forgotten first makes room, so that
// whoever fills the table with single failures drives out single failures, and not those who wait for long.
type Table struct {
	max     int
	counts  map[Key]*count
	forgets queue
}

// count is what is known of a key. Times are in nanoseconds of the caller's clock.
type count struct {
	key      Key
	rule     Rule // of the newest failure
	failures int
	since    int64  // failures are forgotten from here on
	until    int64  // the next guess waits until then
	delayed  uint64 // mark of the failure with which delays began, 0 while there are none
	index    int    // in the queue
}

// NewTable returns a table for max keys.
func NewTable(max int) *Table { return &Table{max: max, counts: map[Key]*count{}} }

// Len returns the number of keys.
func (t *Table) Len() int { return len(t.counts) }

// Wait returns how long a guess has to wait, 0 when it may be made now.
func (t *Table) Wait(k Key, now int64) time.Duration {
	if c := t.counts[k]; c != nil && c.until > now {
		return time.Duration(c.until - now)
	}
	return 0
}

// Fail counts a failure under a rule and returns how many there are now and until when the next guess waits. mark names the
// failure, see Delayed.
func (t *Table) Fail(k Key, r Rule, now int64, mark uint64) (failures int, until int64) {
	c := t.counts[k]
	if c == nil {
		if len(t.counts) >= t.max {
			t.remove(t.forgets[0])
		}
		c = &count{key: k, since: now}
		t.counts[k] = c
		heap.Push(&t.forgets, c)
	}
	c.rule = r
	c.forget(now)
	c.failures = min(c.failures+1, r.Free+64)
	c.until = max(c.until, now+int64(r.Delay(c.failures)))
	switch {
	case c.failures < r.Free:
		c.delayed = 0
	case c.delayed == 0:
		c.delayed = mark
	}
	heap.Fix(&t.forgets, c.index)
	return c.failures, c.until
}

// Forgive takes up to n failures of a key back. Delays end when no more are left than are free.
func (t *Table) Forgive(k Key, n int) {
	c := t.counts[k]
	if c == nil {
		return
	}
	if c.failures -= n; c.failures <= 0 {
		t.remove(c)
		return
	}
	if c.failures < c.rule.Free {
		c.until, c.delayed = 0, 0
	}
	heap.Fix(&t.forgets, c.index)
}

// Drop forgets a key and returns how many failures were counted.
func (t *Table) Drop(k Key) int {
	c := t.counts[k]
	if c == nil {
		return 0
	}
	t.remove(c)
	return c.failures
}

// DropAccount forgets all keys of an account. It looks at every key.
func (t *Table) DropAccount(account [16]byte) {
	for k, c := range t.counts {
		if k.Account == account {
			t.remove(c)
		}
	}
}

// Delayed returns the mark of the failure with which the delays of a key began, 0 when there are none, and until when its
// next guess waits.
func (t *Table) Delayed(k Key) (mark uint64, until int64) {
	if c := t.counts[k]; c != nil {
		return c.delayed, c.until
	}
	return 0, 0
}

// Sweep forgets what has been forgotten by now.
func (t *Table) Sweep(now int64) {
	for len(t.forgets) > 0 && t.forgets[0].forgotten() <= now {
		t.remove(t.forgets[0])
	}
}

func (t *Table) remove(c *count) {
	heap.Remove(&t.forgets, c.index)
	delete(t.counts, c.key)
}

// forget takes off what was forgotten since the last failure.
func (c *count) forget(now int64) {
	n := max(0, now-c.since) / int64(c.rule.Forget)
	c.failures = max(0, c.failures-int(min(n, int64(c.failures))))
	if c.since += n * int64(c.rule.Forget); c.failures == 0 {
		c.since = now
	}
}

// forgotten is when nothing of c matters any more.
func (c *count) forgotten() int64 {
	return max(c.until, c.since+int64(c.failures)*int64(c.rule.Forget))
}

// queue is a heap of counts, the one that is forgotten first at its head. The order is total: the same counts leave in the
// same order, however they came.
type queue []*count

// Len implements heap.Interface.
func (q queue) Len() int { return len(q) }

// Less implements heap.Interface.
func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	return cmp.Or(cmp.Compare(a.forgotten(), b.forgotten()), bytes.Compare(a.key.Account[:], b.key.Account[:]),
		cmp.Compare(a.key.Address, b.key.Address)) < 0
}

// Swap implements heap.Interface.
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	c := x.(*count)
	c.index = len(*q)
	*q = append(*q, c)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	old := *q
	c := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return c
}
