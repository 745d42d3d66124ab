package scenario

import (
	"context"
	"slices"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/history"
)

// mutants are the scenarios that leave a mechanism out and pass when its loss is seen. README.md says how fast that is, and
// which mechanisms have their tests elsewhere because no schedule of real processes shows their loss in reasonable time.
func mutants() []Scenario {
	return slices.Concat(withoutLease(), withOtherClocks(), withoutBarrier(), withoutOrder())
}

// withoutLease leaves out parts of the lease.
func withoutLease() []Scenario {
	return []Scenario{
		{
			Name:        "mutant-pause-lease",
			Proves:      "without the check of the lease a frozen replica accepts ended sessions when it wakes, and this harness sees it",
			Break:       "no-lease-check",
			FaultProbes: 5,
			run:         pauseLong,
		},
		{
			Name:        "mutant-cut-lease",
			LongOnly:    true,
			Proves:      "without the check of the lease a replica that is cut off accepts ended sessions",
			Sandbox:     true,
			Break:       "no-lease-check",
			Cluster:     namespaces,
			FaultProbes: 5,
			run:         cutOff,
		},
		{
			Name:     "mutant-verify-order",
			Proves:   "a verification that looks at the state before it reads the lease accepts what ended in between",
			LongOnly: true,
			Break:    "cache-before-lease",
			run:      pauseLong,
		},
		{
			Name:     "mutant-cached-clock",
			Proves:   "a verification that compares the lease with a reading from before a pause accepts ended sessions",
			LongOnly: true,
			Break:    "cached-clock",
			run:      pauseLong,
		},
		{
			Name:     "mutant-lease-date",
			Proves:   "a lease that is dated from the delivery of its beat lets a replica serve that hears of everything too late",
			LongOnly: true,
			Break:    "date-from-delivery",
			Seams:    true,
			run:      slowReceive,
		},
	}
}

// withOtherClocks breaks the assumption about clocks.
func withOtherClocks() []Scenario {
	return []Scenario{
		{
			Name:     "mutant-clock-rate",
			Proves:   "a clock at half the rate, far beyond the assumption, keeps a replica that is cut off serving too long",
			LongOnly: true,
			Seams:    true,
			Sandbox:  true,
			Breaks:   check.C1,
			Cluster:  namespaces,
			run:      drag(0.5, (*experiment).cutIt),
		},
		{
			Name:     "mutant-clock-rate-pause",
			LongOnly: true,
			Proves:   "a clock at half the rate, far beyond the assumption, lets a frozen replica accept ended sessions when it wakes",
			Seams:    true,
			Breaks:   check.C1,
			run:      drag(0.5, (*experiment).pauseIt),
		},
		{
			Name:     "mutant-clocks-apart",
			Proves:   "the assumption is about two clocks: one 8 % fast and one 7 % slow are too far apart",
			LongOnly: true,
			Seams:    true,
			Sandbox:  true,
			Breaks:   check.C1,
			Cluster:  namespaces,
			run:      apart,
		},
	}
}

func (x *experiment) cutIt(ctx context.Context, who choice) error { return x.cut(ctx, who) }

func (x *experiment) pauseIt(ctx context.Context, who choice) error {
	return x.pause(ctx, who, x.longPause())
}

// withoutBarrier leaves out parts of the barrier.
func withoutBarrier() []Scenario {
	return []Scenario{
		{
			Name:   "mutant-pause-barrier",
			Proves: "when logouts return without the reports of the others, a replica that was frozen for a moment accepts ended sessions",
			Break:  "no-barrier",
			run:    pauseShort,
		},
		{
			Name:     "mutant-reports",
			Proves:   "a report that counts for another life than its sender's lets a logout return while a frozen replica holds a lease",
			LongOnly: true,
			Break:    "reports-without-incarnation",
			run:      pauseShort,
		},
		{
			Name:   "mutant-repeated-logout",
			Proves: "a repeated logout that returns without the barrier of the first one returns too early",
			Break:  "repeat-without-barrier",
			run:    pauseShort,
		},
		{
			Name:     "mutant-set-at-publish",
			Proves:   "replicas to wait for that are fixed when the event is sent are others than those that hold a lease when it is stored",
			LongOnly: true,
			Break:    "set-at-publish",
			Seams:    true,
			run:      slowSend,
		},
		{
			Name:     "mutant-wait-from-publish",
			Proves:   "a silence that is waited out from the sending of the event ends before the lease of a frozen replica",
			LongOnly: true,
			Break:    "wait-from-publish",
			Seams:    true,
			run:      slowSend,
		},
	}
}

// withoutOrder leaves out parts of the one log and its one fold.
func withoutOrder() []Scenario {
	return []Scenario{
		{
			Name:     "mutant-skip-message",
			Proves:   "a replica that misses one message, and does not compare digests, accepts a session that this message ended",
			LongOnly: true,
			Break:    "skip-message,no-digest",
			run:      steady,
		},
		{
			Name:     "mutant-validation",
			Proves:   "a fold that takes refreshes that were validated against an older record loses the tokens of those who raced",
			LongOnly: true,
			Break:    "no-validation",
			Breaks:   check.C2,
			// Sessions that were raced for have to be refreshed once more.
			run: func(ctx context.Context, x *experiment) error { return x.wait(ctx, 20*time.Second) },
		},
		{
			Name:   "mutant-refresh-reuse",
			Proves: "a spent refresh token that is answered at any time is a stolen one that works",
			Break:  "no-reuse-detection",
			Breaks: check.C3,
			run:    steady,
		},
	}
}

// seen returns when the first violation of claim was there to be seen, counted from the first verification; 0 when there is none.
func seen(h *history.History, found []check.Violation, claim check.Claim) time.Duration {
	first, begin := time.Duration(0), time.Duration(-1)
	for _, op := range h.Ops {
		if op.Kind == history.Verify && (begin < 0 || op.Start < begin) {
			begin = op.Start
		}
	}
	for _, v := range found {
		if v.Claim != claim || len(v.Ops) == 0 {
			continue
		}
		if at := v.Ops[len(v.Ops)-1].End - begin; first == 0 || at < first {
			first = at
		}
	}
	return first
}
