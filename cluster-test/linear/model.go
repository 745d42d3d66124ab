// Package linear judges whether some order of the operations on each session explains what they were answered
// (linearizability, by porcupine). It is pure and knows only the promise, which is this:
//
// A session is absent, active, ending or ended, and only ever goes on in that order. A login makes it active, with
// generation 0.
//
// A refresh takes effect at one instant between its start and its end, while the session is active. With the newest
// generation's token it makes the next one. With its predecessor's, while nobody has used the newest, it gives the newest
// again, the same tokens; or, when the grace window may have passed, it counts as stolen. With any older one it counts as
// stolen. A stolen token makes the session ending, and ended before the refusal is returned. A refresh is refused for no
// other reason but that the session is ending or ended.
//
// A logout makes an active session ending at one instant and ended at a later one, both between its start and its end. One
// that finds the session ending or ended already leaves it at that, and returns when it is ended. It is never refused.
//
// Between the two instants a verification may go either way, and one replica may go back on what another has said: replicas
// hear of the end one after the other. While the session is active, a verification is accepted, whichever generation the
// access token is of: a refresh does not end the one before. Once the session is ended, it is refused. So a verification that
// began before the logout returned may be answered yes, and none that began later.
//
// What is not promised, and not judged: anything about an access token that may have expired; how long after the grace
// window a token is still not counted as stolen, which depends on how the log moves; 503, which is no decision.
//
// An operation whose outcome is unknown takes effect at any time after its start, or never.
package linear

import "github.com/anishathalye/porcupine"

// phase is how far a session has come.
type phase uint8

const (
	absent phase = iota
	active
	ending // the end is in the log; some replicas know it
	ended  // every replica knows it
)

// state is a session. States are compared with ==.
type state struct {
	phase   phase
	gen     int32
	tokens  uint64 // identifies the newest generation's tokens; 0: nobody has seen them
	revoker int    // the refresh that made the session ending because its token was stolen, by its number; 0: none
}

// deed is what a step does.
type deed uint8

const (
	login deed = iota + 1
	accept
	refuse
	refresh        // acknowledged
	maybeRefresh   // outcome unknown
	maybeLate      // the same, after the grace window
	refuseRefresh  // decided
	refusedRefresh // and returned
	logout         // decided
	loggedOut      // and returned
	maybeLogout    // outcome unknown
	refuseLogout
)

// step is one instant of an operation.
type step struct {
	deed   deed
	op     int   // number of the operation, from 1
	gen    int32 // of the token that was presented
	tokens uint64
	late   bool // the grace window may have passed
}

// model is the promise, one session at a time.
var model = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{state{}} },
	Step: func(s, in, _ any) []any { return next(s.(state), in.(step)) },
}).ToModel()

// next returns the states that a step may lead to from s, none when the step cannot have been taken there.
func next(s state, in step) []any {
	switch in.deed {
	case login:
		if s.phase == absent {
			return []any{state{phase: active, tokens: in.tokens}}
		}
	case accept:
		return s.only(s.phase == active || s.phase == ending)
	case refuse:
		return s.only(s.phase != active)
	case refresh:
		return s.refresh(in)
	case maybeRefresh:
		return append(append([]any{s}, s.refresh(in)...), s.steal(in, s.gen > in.gen+1)...)
	case maybeLate:
		return append([]any{s}, s.steal(in, s.gen == in.gen+1)...)
	case refuseRefresh:
		if s.phase >= ending {
			return []any{s}
		}
		return s.steal(in, s.gen > in.gen+1 || s.gen == in.gen+1 && in.late)
	case refusedRefresh:
		if s.phase == ending && s.revoker == in.op {
			return []any{s.to(ended)}
		}
		return s.only(s.phase >= ending)
	case logout:
		if s.phase == active {
			return []any{s.to(ending)}
		}
		return s.only(s.phase >= ending)
	case loggedOut:
		if s.phase >= ending {
			return []any{s.to(ended)}
		}
	case maybeLogout:
		if s.phase == active {
			return []any{s, s.to(ending)}
		}
		return []any{s}
	case refuseLogout:
		return s.only(s.phase == absent)
	}
	return nil
}

// only returns s if ok.
func (s state) only(ok bool) []any {
	if ok {
		return []any{s}
	}
	return nil
}

// to returns s in a later phase. What its tokens are does not matter any more.
func (s state) to(p phase) state { return state{phase: p, revoker: s.revoker} }

// refresh is a refresh that is carried out.
func (s state) refresh(in step) []any {
	switch {
	case s.phase != active:
		return nil
	case s.gen == in.gen:
		s.gen, s.tokens = s.gen+1, in.tokens
	case s.gen == in.gen+1 && (s.tokens == 0 || in.tokens == 0 || s.tokens == in.tokens):
		s.tokens = max(s.tokens, in.tokens) // one of them may not be known
	default:
		return nil
	}
	return []any{s}
}

// steal is a refresh whose token counts as stolen, if it may.
func (s state) steal(in step, may bool) []any {
	if s.phase != active || !may {
		return nil
	}
	s = s.to(ending)
	s.revoker = in.op
	return []any{s}
}
