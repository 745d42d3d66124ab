package fence

import (
	"encoding/binary"
	"slices"
	"time"
)

// clone returns an independent copy: the search branches from every state.
func (m *Machine) clone() *Machine {
	c := *m
	c.notes = slices.Clone(m.notes)
	c.self.grants = slices.Clone(m.self.grants)
	c.pending.items = slices.Clone(m.pending.items)
	c.byInc = make(map[Incarnation]*holder, len(m.byInc))
	c.holders = make([]*holder, len(m.holders))
	for i, h := range m.holders {
		d := *h
		d.grants = slices.Clone(h.grants)
		c.holders[i] = &d
		c.byInc[d.inc] = &d
	}
	return &c
}

// appendOwn appends what decides about the machine's own leases, as ages on clocks that show now.
func (m *Machine) appendOwn(b []byte, now Reading) []byte {
	b = appendLease(b, m.lease, now)
	for _, n := range m.notes {
		b = append(b, byte(n.counter))
		b = appendLease(b, Lease{sent: n.at, length: uint64(m.cfg.Length)}, now)
	}
	return append(b, 0xff)
}

// appendOthers appends what decides about barriers, with horizons as the time left. Neither the order of holders nor
// expired grants nor the instant of the next sweep decide anything.
func (m *Machine) appendOthers(b []byte, now Reading, incs []Incarnation) []byte {
	for _, inc := range incs {
		h := m.byInc[inc]
		if h == nil {
			b = append(b, 0xfe)
			continue
		}
		gone := byte(0)
		if h.gone {
			gone = 1
		}
		b = append(b, gone, byte(h.reported))
		for _, g := range h.grants {
			if g.until <= now.Mono {
				continue // but not dropped: other worlds, at other times, share the machine
			}
			b = append(b, byte(g.seq))
			b = binary.AppendVarint(b, int64(g.until-now.Mono))
		}
		b = append(b, 0xff)
	}
	return b
}

// appendLease appends the age of a lease on each clock. Ages from the length on are alike: in no world does a clock go
// back from there while the other shows less. The key does not assume that one clock is enough to end a lease.
func appendLease(b []byte, l Lease, now Reading) []byte {
	end := time.Duration(l.length)
	b = binary.AppendVarint(b, int64(min(now.Mono-l.sent.Mono, end)))
	return binary.AppendVarint(b, int64(min(now.Wall-l.sent.Wall, end)))
}

// key returns what distinguishes the world from others, with all clocks relative to the present.
func (w *world) key(r *rules, b []byte) []byte {
	b = append(b, w.logged, w.flying, w.ticks, w.beats, w.restarts, w.steps)
	if w.skipped {
		b = append(b, 1)
	}
	for _, e := range w.log[:w.logged] {
		b = append(b, byte(e.kind), e.life, e.counter, e.applied)
	}
	for _, e := range w.flight[:w.flying] {
		b = append(b, byte(e.kind), e.life, e.counter, e.applied)
	}
	now := w.seen(r)
	for i := range w.lives {
		l := &w.lives[i]
		var flags byte
		for j, f := range []bool{l.sees, l.hasLeft, l.accepts} {
			if f {
				flags |= 1 << j
			}
		}
		b = append(b, byte(l.phase), l.applied, l.counter, l.verify, flags)
		if l.phase != up {
			continue
		}
		b = l.m.appendOwn(b, now)
		if l.verify > 0 {
			b = appendLease(b, l.loaded, now)
		}
		if r.broken&CachedClock != 0 {
			b = binary.AppendVarint(b, int64(now.Mono-l.cached.Mono))
		}
	}
	v := &w.rev
	b = append(b, byte(v.phase), v.applied, v.seq)
	if v.phase == returned {
		return b
	}
	now = w.revNow(r)
	b = v.m.appendOthers(b, now, incs)
	if v.atPublish != nil {
		b = v.atPublish.appendOthers(b, now, incs)
	}
	if r.broken&WaitFromPublish != 0 && v.phase != up {
		b = binary.AppendVarint(b, int64(now.Mono-v.publishedAt))
	}
	if r.readEarly {
		b = binary.AppendVarint(b, int64(now.Mono-v.earlier.Mono))
	}
	return b
}
