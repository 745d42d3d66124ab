package fence

import (
	"fmt"
	"strings"
	"time"
)

// act is what leads from one world to the next.
type act struct {
	kind actKind
	arg  uint8
}

type actKind uint8

const (
	doTick actKind = iota
	doBeat
	doCommit
	doApply
	doApplyRevoker
	doPublish
	doReport
	doReportEarly
	doCrash
	doLeave
	doStart
	doReplace
	doRestartSnapshot
	doRestartLog
	doWallStep
	doVerify
	doRefresh
	doSkip
	doCompact
	doRead
)

// successors calls yield with each world that one act leads to.
func (w *world) successors(r *rules, yield func(act, *world)) {
	s := successors{r: r, from: w, yield: yield}
	s.time()
	s.log()
	for i := range w.lives {
		s.life(i)
	}
	s.revoker()
}

type successors struct {
	r     *rules
	from  *world
	yield func(act, *world)
}

// do yields the world that change makes of the present one.
func (s *successors) do(kind actKind, arg int, change func(*world)) {
	w := *s.from
	change(&w)
	s.yield(act{kind, uint8(arg)}, &w)
}

func (s *successors) time() {
	w, r := s.from, s.r
	if w.ticks < r.maxTicks {
		for i, t := range r.ticks {
			s.do(doTick, i, func(w *world) {
				w.ticks++
				w.verifier.Mono += t.verifier.Mono
				w.verifier.Wall += t.verifier.Wall
				if w.rev.phase != returned {
					w.revoker.Mono += t.revoker.Mono
					w.revoker.Wall += t.revoker.Wall
				}
				w.settle(r)
			})
		}
	}
	if w.steps < r.steps {
		s.do(doWallStep, 0, func(w *world) { w.steps++; w.revoker.Wall += time.Hour; w.settle(r) })
		s.do(doWallStep, 1, func(w *world) { w.steps++; w.verifier.Wall -= time.Hour })
		s.do(doWallStep, 2, func(w *world) { w.steps++; w.verifier.Wall -= lease / 2 })
	}
}

func (s *successors) log() {
	w, r := s.from, s.r
	for i := range w.flying {
		s.do(doCommit, int(i), func(w *world) { w.commit(r, i) })
	}
	if r.broken&CompactRevocations != 0 {
		for i, e := range w.log[:w.logged] {
			if e.kind == revoke {
				s.do(doCompact, 0, func(w *world) { w.log[i] = entry{kind: hole}; w.skip(0); w.skip(1) })
			}
		}
	}
}

func (s *successors) life(i int) {
	w, r := s.from, s.r
	l := &w.lives[i]
	if w.rev.phase != returned && l.phase != unborn {
		if h := w.rev.m.byInc[incs[i]]; h != nil && h.reported < uint64(l.applied) || r.broken&ReportsWithoutIncarnation != 0 {
			s.do(doReport, i, func(w *world) { w.report(r, i, l.applied) })
		}
		if r.reportEarly && l.applied < w.logged {
			s.do(doReportEarly, i, func(w *world) { w.report(r, i, l.applied+1) })
		}
	}
	if i == 1 && l.phase == unborn {
		if first := w.lives[0].phase; r.overlap || first == dead {
			s.do(doStart, i, func(w *world) { w.start(r, i) })
			if r.crash && first == dead {
				s.do(doReplace, i, func(w *world) { w.start(r, i); w.send(r, entry{kind: left, life: 0}) })
			}
		}
	}
	if l.phase != up {
		return
	}
	if w.beats < r.beats {
		s.do(doBeat, i, func(w *world) { w.beat(r, i) })
	}
	if l.applied < w.logged {
		s.do(doApply, i, func(w *world) { w.apply(r, i) })
		if r.broken&SkipMessage != 0 && !w.skipped {
			s.do(doSkip, i, func(w *world) { w.skipped = true; w.lives[i].applied++; w.skip(i) })
		}
	}
	if r.crash {
		s.do(doCrash, i, func(w *world) { w.stop(i) })
	}
	if r.leave && !l.hasLeft {
		s.do(doLeave, i, func(w *world) {
			w.send(r, entry{kind: left, life: uint8(i)})
			if w.lives[i].hasLeft = true; !r.leaveServing {
				w.stop(i)
			}
		})
	}
	if r.broken&CachedClock != 0 && l.cached != w.seen(r) {
		s.do(doRefresh, i, func(w *world) { w.lives[i].cached = w.seen(r) })
	}
	if w.rev.phase == returned {
		s.do(doVerify, i, func(w *world) { w.step(r, i) })
	}
}

func (s *successors) revoker() {
	w, r := s.from, s.r
	v := &w.rev
	if v.phase == returned {
		return
	}
	if v.phase == up {
		s.do(doPublish, 0, func(w *world) { w.publish(r) })
	}
	if v.applied < w.logged {
		s.do(doApplyRevoker, 0, func(w *world) { w.applyRevoker(r) })
	}
	if w.restarts < r.restarts {
		s.do(doRestartSnapshot, 0, func(w *world) { w.restart(r, true) })
		s.do(doRestartLog, 0, func(w *world) { w.restart(r, false) })
	}
	if r.readEarly && v.earlier != w.revNow(r) {
		s.do(doRead, 0, func(w *world) { w.rev.earlier = w.revNow(r) })
	}
}

// describe returns a trace as text, one act a line.
func describe(r *rules, trace []act) string {
	w := newWorld(r)
	var out strings.Builder
	for n, a := range trace {
		fmt.Fprintf(&out, "%3d. %s\n", n+1, w.label(r, a))
		from := w
		from.successors(r, func(b act, next *world) {
			if a == b {
				w = *next
			}
		})
	}
	return out.String()
}

// label says in words what an act does in this world.
func (w *world) label(r *rules, a act) string {
	name := string(rune('A' + a.arg))
	switch a.kind {
	case doTick:
		return r.ticks[a.arg].name + " passes"
	case doBeat:
		return name + " notes its clocks and sends a ping"
	case doCommit:
		return fmt.Sprintf("the log commits %v as %d", w.flight[a.arg], w.logged+1)
	case doApply:
		l := w.lives[a.arg]
		return fmt.Sprintf("%s applies %d (%v)", name, l.applied+1, w.log[l.applied])
	case doApplyRevoker:
		return fmt.Sprintf("the revoker applies %d (%v)", w.rev.applied+1, w.log[w.rev.applied])
	case doPublish:
		return "the revoker publishes the revocation"
	case doReport:
		return fmt.Sprintf("the revoker gets a report of %s: applied %d", name, w.lives[a.arg].applied)
	case doReportEarly:
		return fmt.Sprintf("%s reports %d too early", name, w.lives[a.arg].applied+1)
	case doCrash:
		return name + " crashes"
	case doLeave:
		return name + " leaves"
	case doStart:
		return name + " starts"
	case doReplace:
		return name + " starts in place of A, whose lock it holds"
	case doRestartSnapshot:
		return "the revoker restarts from a snapshot"
	case doRestartLog:
		return "the revoker restarts and reads the whole log"
	case doWallStep:
		return []string{"the revoker's wall clock is set forward", "the verifier's wall clock is set far back",
			"the verifier's wall clock is set back a little"}[a.arg]
	case doVerify:
		return fmt.Sprintf("%s verifies, step %d", name, w.lives[a.arg].verify+1)
	case doRefresh:
		return name + " refreshes its cached clock"
	case doSkip:
		return name + " skips a message"
	case doCompact:
		return "the log drops the revocation, for a newer one on the same subject"
	case doRead:
		return "the revoker reads its clock for later"
	}
	return "?"
}
