package check

import (
	"fmt"
	"slices"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// Logs returns the violations of C4 in h, given the log as each replica has it at the end. Nothing may have been under way
// when it was read, and all of it must have been read to the same sequence. Without logs nothing is found.
func Logs(h *history.History, logs []*history.Log, o Options) []Violation {
	if len(logs) == 0 {
		return nil
	}
	found := agreement(logs)
	lives := livesIn(logs[0])
	var known []placed
	for _, s := range bySession(h) {
		sid := s.sid()
		l := lives[sid]
		delete(lives, sid)
		if l == nil {
			l = &life{}
		}
		known = append(known, s.places(l)...)
		found = append(found, s.records(sid, l, o.grace(), len(h.Faults) == 0)...)
	}
	found = append(found, outOfOrder(known)...)
	return append(found, strangers(h, lives)...)
}

// agreement checks that each log is complete from where it was read and folds to what its replica holds, and that all are the same.
func agreement(logs []*history.Log) []Violation {
	var found []Violation
	report := func(l *history.Log, format string, args ...any) {
		found = append(found, Violation{Claim: C4, Text: fmt.Sprintf("log of replica %d: ", l.Replica) + fmt.Sprintf(format, args...)})
	}
	for _, l := range logs {
		last := l.After
		for _, e := range l.Events {
			if e.Seq <= last {
				report(l, "event %d comes after event %d", e.Seq, last)
				break
			}
			last = e.Seq
		}
		if n := uint64(len(l.Events)) + l.Withheld; n != l.Last-l.After || last > l.Last {
			report(l, "%d events and %d withheld do not fill the %d sequences", len(l.Events), l.Withheld, l.Last-l.After)
		}
		if l.Applied != "" && l.Applied != l.Digest {
			report(l, "the replica's state at %d is not what its log means (digest %s, not %s)", l.Last, l.Applied, l.Digest)
		}
	}
	for _, l := range logs[1:] {
		found = append(found, difference(logs[0], l)...)
	}
	return found
}

// difference compares two logs up to the greatest sequence that both have.
func difference(a, b *history.Log) []Violation {
	common := min(a.Last, b.Last)
	have := map[uint64]history.Event{}
	for _, e := range a.Events {
		if e.Seq <= common {
			have[e.Seq] = e
		}
	}
	differ, first, what := 0, uint64(0), ""
	note := func(seq uint64, text string) {
		if differ++; first == 0 || seq < first {
			first, what = seq, text
		}
	}
	for _, e := range b.Events {
		other, ok := have[e.Seq]
		delete(have, e.Seq)
		switch {
		case e.Seq > common:
		case !ok:
			note(e.Seq, "only one has it")
		case other.Void != e.Void:
			note(e.Seq, fmt.Sprintf("%s is void %q here and void %q there", e.Type, other.Void, e.Void))
		case other != e:
			note(e.Seq, fmt.Sprintf("%s and %s are not the same bytes", other.Type, e.Type))
		}
	}
	for seq := range have {
		note(seq, "only one has it")
	}
	var found []Violation
	if differ > 0 {
		found = append(found, Violation{Claim: C4, Text: fmt.Sprintf(
			"replicas %d and %d differ at %d sequences, first at %d: %s", a.Replica, b.Replica, differ, first, what)})
	}
	if a.Last == b.Last && a.Digest != b.Digest {
		found = append(found, Violation{Claim: C4, Text: fmt.Sprintf(
			"replicas %d and %d read the log to %d and got the digests %s and %s", a.Replica, b.Replica, a.Last, a.Digest, b.Digest)})
	}
	return found
}

// life is what the log says of one session.
type life struct {
	events  []history.Event // not void, in order
	ends    int             // revocations of it alone, void ones too
	excused bool            // something ended all sessions of its user, or everybody's
}

// of returns the events of a type, and of a generation unless that is 0.
func (l *life) of(typ string, generation int32) []history.Event {
	var all []history.Event
	for _, e := range l.events {
		if e.Type == typ && (generation == 0 || e.Generation == generation) {
			all = append(all, e)
		}
	}
	return all
}

// Types of the events that change the state of a session.
const (
	started   = "session.started"
	refreshed = "session.refreshed"
	revoked   = "revoked.session"
)

// livesIn returns the lives of all sessions that the log mentions.
func livesIn(log *history.Log) map[string]*life {
	lives := map[string]*life{}
	users := map[string][]*life{}
	for _, e := range slices.Concat(log.Before, log.Events) {
		switch e.Type {
		case started, refreshed, revoked:
			l := lives[e.Session]
			if l == nil {
				l = &life{}
				lives[e.Session] = l
			}
			if e.Type == revoked {
				l.ends++
			}
			if e.Void == "" {
				l.events = append(l.events, e)
			}
			if e.Type == started {
				users[e.User] = append(users[e.User], l)
			}
		case "revoked.user", "account.password_changed":
			for _, l := range users[e.User] {
				l.excused = true
			}
		case "revoked.everything":
			for _, l := range lives {
				l.excused = true
			}
		}
	}
	return lives
}

// sid returns the name that the log has for s.
func (s *session) sid() string {
	for _, op := range s.ops {
		if op.Kind == history.Login && op.Outcome == history.OK {
			return op.SID
		}
	}
	return ""
}

// records checks what the log has of s against what clients were told: everything acknowledged has its one event, and
// every event has an operation that may have caused it.
func (s *session) records(sid string, l *life, grace time.Duration, undisturbed bool) []Violation {
	var found []Violation
	report := func(format string, args ...any) {
		found = append(found, Violation{Claim: C4, Session: s.id, Text: fmt.Sprintf(format, args...)})
	}
	if n := len(l.of(started, 0)); n != 1 {
		report("a login was acknowledged, and the log has %d events that started session %q", n, sid)
	}
	s.refreshes(sid, l, report)
	ended := slices.ContainsFunc(s.ops, func(op history.Op) bool { return op.Kind == history.Logout && op.Outcome == history.OK })
	n := len(l.of(revoked, 0))
	switch {
	case n > 1:
		report("the log has %d events that ended the session", n)
	case n == 0 && ended && !l.excused:
		report("a logout was acknowledged, and the log has no event for it")
	case n == 1 && s.mayEnd(grace) == never:
		report("event %d ended the session, and nobody gave a reason to", l.of(revoked, 0)[0].Seq)
	}
	if most := s.revokers(); undisturbed && ended && l.ends > most {
		report("the log has %d revocations, but at most %d were asked for before one was acknowledged", l.ends, most)
	}
	for i, e := range l.events {
		if (e.Type == started) != (i == 0) || i > 0 && l.events[i-1].Type == revoked {
			report("%s took effect at %d, where it must not", e.Type, e.Seq)
			break
		}
	}
	return found
}
