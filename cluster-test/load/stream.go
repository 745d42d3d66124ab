package load

import (
	"context"
	"slices"
	"sync"
	"time"
)

// standingEvery is how often replicas are asked how far they have followed the log.
const standingEvery = 250 * time.Millisecond

// stream compares how far the replicas have followed the log. It is for one goroutine.
type stream struct {
	reached []reached         // rising in both; when some replica was first seen to be so far
	digests map[uint64]string // by sequence, of one epoch
	epoch   string
}

type reached struct {
	at      time.Duration
	applied uint64
}

// observed is what one replica said in one round.
type observed struct {
	v  *view
	s  standing
	at time.Duration
	ok bool
}

// watchStream asks all replicas together, again and again, until end or until ctx ends. It gives up when none of them says
// anything at first: then the issuer is not Knell.
func (e *engine) watchStream(ctx context.Context) {
	st := &stream{digests: map[uint64]string{}}
	ticker := time.NewTicker(standingEvery)
	defer ticker.Stop()
	for first := true; ; first = false {
		round := e.askStanding(ctx)
		if !slices.ContainsFunc(round, func(o observed) bool { return o.ok }) && first {
			return
		}
		e.streams.Store(true)
		st.take(round)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if e.now() >= e.end {
			return
		}
	}
}

func (e *engine) askStanding(ctx context.Context) []observed {
	round := make([]observed, len(e.views))
	ctx, cancel := context.WithTimeout(ctx, standingEvery)
	defer cancel()
	var wg sync.WaitGroup
	for i, v := range e.views {
		wg.Go(func() {
			s, at, ok := v.client.standing(ctx)
			round[i] = observed{v, s, at, ok}
		})
	}
	wg.Wait()
	return round
}

// take notes one round. Replicas answer at different moments, so in a healthy cluster the one that answers first seems to
// be a few events behind.
func (st *stream) take(round []observed) {
	var front uint64
	for _, o := range round {
		if !o.ok {
			continue
		}
		if o.s.Epoch != st.epoch {
			st.epoch, st.digests, st.reached = o.s.Epoch, map[uint64]string{}, nil
		}
		front = max(front, o.s.Applied)
	}
	for _, o := range round {
		if o.ok {
			o.v.follow(o.s, front, st.missing(o.s.Applied, o.at), st.differs(o.s))
		}
	}
	// What is seen in this round is news for the next one: within a round, nobody's clock can tell who was first.
	var at time.Duration
	for _, o := range round {
		if o.ok && o.s.Applied == front {
			at = o.at
		}
	}
	if n := len(st.reached); front > 0 && (n == 0 || st.reached[n-1].applied < front) {
		st.reached = append(st.reached, reached{at, front})
	}
}

// missing returns for how long, at that instant, some other replica had had more than applied.
func (st *stream) missing(applied uint64, at time.Duration) time.Duration {
	i, _ := slices.BinarySearchFunc(st.reached, applied+1, func(r reached, seq uint64) int {
		switch {
		case r.applied < seq:
			return -1
		case r.applied > seq:
			return 1
		}
		return 0
	})
	if i == len(st.reached) {
		return 0
	}
	return max(at-st.reached[i].at, 0)
}

// differs reports whether another replica said something else of the same sequence.
func (st *stream) differs(s standing) bool {
	if s.Digest == "" {
		return false
	}
	if known, ok := st.digests[s.Applied]; ok {
		return known != s.Digest
	}
	if len(st.digests) >= maxDigests {
		clear(st.digests)
	}
	st.digests[s.Applied] = s.Digest
	return false
}

// maxDigests bounds the digests that are remembered.
const maxDigests = 1 << 16

// follow notes how far the replica is. One that has just started is not behind but replaying.
func (v *view) follow(s standing, front uint64, missing time.Duration, differs bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := v.before.Incarnation == s.Incarnation
	if known {
		_ = v.lag.RecordValue(int64(min(front-s.Applied, longest))) // within bounds it does not fail
		v.behind = max(v.behind, missing)
	}
	if differs || known && s.Applied < v.before.Applied {
		v.gaps++
	}
	v.before = s
}
