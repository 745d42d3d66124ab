package disk

import (
	"math/rand/v2"
	"time"
)

// Hold makes every operation wait, as at the instant at which the power fails: what the users of the disk have not been
// told until now, they never hear. End them now, then call Lose.
func (d *Disk) Hold() { d.turn(holding) }

// Lose forgets everything that was not synced before Hold, or, with a source of randomness, leaves torn ends of files.
// Operations fail until Restore.
func (d *Disk) Lose(torn *rand.Rand) {
	d.turn(off)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(torn)
}

// Restore turns the power on again.
func (d *Disk) Restore() { d.turn(on) }

func (d *Disk) turn(to power) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case to == on && d.power != on:
		d.cut = make(chan struct{})
	case to != on && d.power == on:
		close(d.cut)
	}
	d.power = to
	d.turned.Broadcast()
}

// begin takes the lock when there is power, and reports whether there is. It waits while power fails.
func (d *Disk) begin() bool {
	d.mu.Lock()
	for d.power == holding {
		d.turned.Wait()
	}
	if d.power == on {
		return true
	}
	d.mu.Unlock()
	return false
}

// Slow makes each sync take so long from now on. 0: no longer than it takes.
func (d *Disk) Slow(each time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slow = each
}

// Stall lets no sync end for so long.
func (d *Disk) Stall(length time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stalled = time.Now().Add(length)
}

// Resize sets how many bytes files may have in all. Those that are there stay.
func (d *Disk) Resize(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limit = bytes
}

// Used returns how many bytes the files have in all.
func (d *Disk) Used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used
}

// spin waits as long as a sync takes that begins now. It ends early when the power is cut: that sync never happened.
func (d *Disk) spin() {
	d.mu.Lock()
	takes, cut := max(d.slow, time.Until(d.stalled)), d.cut
	d.mu.Unlock()
	if takes <= 0 {
		return
	}
	t := time.NewTimer(takes)
	defer t.Stop()
	select {
	case <-t.C:
	case <-cut:
	}
}
