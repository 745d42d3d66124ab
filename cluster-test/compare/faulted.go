package compare

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// Faulted is what was seen when sessions were ended at one replica while another one was paused or cut off, and were then
// checked at that one: during the fault and after it.
type Faulted struct {
	Skipped    string `json:",omitempty"` // why nothing was measured
	Sessions   int    // ended with success
	Unfinished int
	LogoutMax  time.Duration
	// Asked counts the checks that were sent to the victim after the return and before the fault was over.
	Asked          int
	Leaks          int
	LeakedSessions int
	// AfterHeal is the time from the end of the fault until the victim had refused every ended session; 0 when no check
	// sent after it was accepted.
	AfterHeal time.Duration
	Never     int // sessions still accepted when they were not watched any more
	// Good is what became of a good token at the victim.
	Good Service
}

// Service is what became of a token during a fault.
type Service struct {
	Accepted, Refused, Unavailable, Unanswered int // checks that were answered during the fault, and those that were not
	// UnavailableFrom is the time from the fault's begin until the first answer 503; 0: none came.
	UnavailableFrom time.Duration
	// Back is the time from the fault's end until the token was accepted by a check sent after it; 0: it was not.
	Back time.Duration
}

func (m *measurement) paused(ctx context.Context) (err error) {
	m.row.Paused, err = m.faulted(ctx, m.in.pause, m.in.resume)
	return err
}

func (m *measurement) cutOff(ctx context.Context) error {
	err := m.in.separable(ctx)
	var skip skipError
	if errors.Is(err, errNone) || errors.As(err, &skip) {
		m.row.Cut = &Faulted{Skipped: err.Error()}
		return nil
	}
	if err != nil {
		return err
	}
	m.row.Cut, err = m.faulted(ctx, m.in.cut, m.in.mend)
	return err
}

// faultGap is the one between checks of one token at the victim.
const faultGap = 20 * time.Millisecond

// goodLonger is how many times longer a good token is watched after a fault than an ended one, until it is accepted.
const goodLonger = 5

// faulted disturbs the victim, ends sessions, and asks the victim about them until the fault is over and they are refused.
func (m *measurement) faulted(ctx context.Context, inject, heal func() error) (*Faulted, error) {
	c := newClient(m.in)
	defer c.close()
	tokens, err := c.known(ctx, m.Faulted+1)
	if err != nil {
		return nil, err
	}
	good, tokens := tokens[0], tokens[1:]
	var healed atomic.Int64 // 0: not yet
	begin := c.clock()
	if err := inject(); err != nil {
		return nil, err
	}
	var all sync.WaitGroup
	logouts, checks := make([]history.Op, len(tokens)), make([][]history.Op, len(tokens))
	for i, token := range tokens {
		all.Go(func() {
			logouts[i] = c.logout(ctx, revoker, token)
			if logouts[i].Outcome == history.OK {
				checks[i] = probe(ctx, m.ask(ctx, c, token, &healed, m.Converge), &healed)
			}
		})
	}
	var goodChecks []history.Op
	all.Go(func() {
		ask := m.ask(ctx, c, good, &healed, m.Converge*goodLonger)
		for ctx.Err() == nil {
			op, stop := ask()
			goodChecks = append(goodChecks, op)
			end := time.Duration(healed.Load())
			if stop || (end > 0 && op.Start > end && op.Outcome == history.OK) {
				break
			}
		}
	})
	pause(ctx, m.Fault)
	err = heal()
	healed.Store(int64(c.clock()))
	all.Wait()
	end := time.Duration(healed.Load())
	f := judge(logouts, checks, end)
	f.Good = serve(goodChecks, begin, end)
	return f, err
}

// ask returns a function that asks the victim about a token, and says when the time after the fault is over, too: after.
func (m *measurement) ask(
	ctx context.Context, c *client, token string, healed *atomic.Int64, after time.Duration,
) func() (history.Op, bool) {
	return func() (history.Op, bool) {
		op := c.verify(ctx, victim, token)
		end := time.Duration(healed.Load())
		if end == 0 {
			pause(ctx, faultGap)
		}
		return op, end > 0 && c.clock() > end+after
	}
}

// judge sums up the logouts and the checks of each session; the fault was over at healed.
func judge(logouts []history.Op, checks [][]history.Op, healed time.Duration) *Faulted {
	var f Faulted
	for i, logout := range logouts {
		if logout.Outcome != history.OK {
			f.Unfinished++
			continue
		}
		f.Sessions++
		f.LogoutMax = max(f.LogoutMax, logout.End-logout.Start)
		for _, op := range checks[i] {
			if op.Start > logout.End && op.Start < healed {
				f.Asked++
			}
		}
		e := expose(checks[i], logout.End)
		f.Leaks += e.leaks
		if e.leaks > 0 {
			f.LeakedSessions++
		}
		if e.never {
			f.Never++
		}
		f.AfterHeal = max(f.AfterHeal, expose(checks[i], max(healed, logout.End)).last)
	}
	return &f
}

// serve sums up the checks of one token around a fault from begin to end.
func serve(checks []history.Op, begin, end time.Duration) Service {
	var s Service
	for _, op := range checks {
		if op.Outcome == history.OK && op.Start > end && s.Back == 0 {
			s.Back = op.End - end
		}
		if op.Start < begin || op.Start > end {
			continue
		}
		switch {
		case op.End > end || op.Outcome == history.Unknown:
			s.Unanswered++
		case op.Outcome == history.OK:
			s.Accepted++
		case op.Outcome == history.Unavailable:
			s.Unavailable++
			if s.UnavailableFrom == 0 {
				s.UnavailableFrom = op.End - begin
			}
		default:
			s.Refused++
		}
	}
	return s
}
