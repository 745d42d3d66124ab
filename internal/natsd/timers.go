package natsd

import (
	"errors"
	"sync"
	"time"
	_ "unsafe" // for go:linkname

	_ "github.com/nats-io/nats-server/v2/server" // owns the variables below
)

// nats-server's Raft timers are package variables without an option (server/raft.go). A build fails when one of them is
// gone, and TestTimerDefaults fails when one of them has another default than when these values were chosen.

//go:linkname minElectionTimeout github.com/nats-io/nats-server/v2/server.minElectionTimeout
var minElectionTimeout time.Duration

//go:linkname maxElectionTimeout github.com/nats-io/nats-server/v2/server.maxElectionTimeout
var maxElectionTimeout time.Duration

//go:linkname minCampaignTimeout github.com/nats-io/nats-server/v2/server.minCampaignTimeout
var minCampaignTimeout time.Duration

//go:linkname maxCampaignTimeout github.com/nats-io/nats-server/v2/server.maxCampaignTimeout
var maxCampaignTimeout time.Duration

//go:linkname hbInterval github.com/nats-io/nats-server/v2/server.hbInterval
var hbInterval time.Duration

//go:linkname lostQuorumInterval github.com/nats-io/nats-server/v2/server.lostQuorumInterval
var lostQuorumInterval time.Duration

//go:linkname lostQuorumCheck github.com/nats-io/nats-server/v2/server.lostQuorumCheck
var lostQuorumCheck time.Duration

// timer is one variable, nats-server's value for it and ours.
type timer struct {
	name         string
	v            *time.Duration
	theirs, ours time.Duration
}

// timers returns the variables and their values. How they hang together:
//
//   - A follower calls an election when it has heard nothing for a random time between the election timeouts. A leader
//     that has nothing to send sends a heartbeat at every second tick of hbInterval at the latest, so a healthy follower
//     waits up to 2 hbInterval. The rest, 600 ms here, is for a busy machine or a slow sync. Measured on two cores, with
//     three servers in one process, four busy loops and 48 publishers: a shortest timeout of 700 ms let followers depose
//     healthy leaders in three runs of four, 1 s in one of four, nats-server's 4 s in none of two.
//   - The range is wide against the time of a vote (a sync and a round trip), so two followers rarely stand at once. When
//     they do, nobody wins and another timeout passes: with three busy loops beside, 4 of 80 kills of a leader took 2.5 to
//     3 s, the others 1.0 to 1.8 s.
//   - A follower that refuses a vote because it has more of the log stands itself after a campaign timeout, and so does a
//     server that is new. Both should not wait.
//   - hbInterval also says who is alive: within 2 of it a follower counts as current, within 3 a peer may be handed the
//     leadership. Shorter heartbeats would make a planned stop fall back to an election on a busy machine.
//   - A leader that has not heard from a majority for lostQuorumInterval steps down, checked every lostQuorumCheck. The
//     interval is longer than an election, so that it does not step down while others are being restarted. Both only
//     decide how soon the cut-off leader says that it can't commit; that it can't is certain at once.
func timers() []timer {
	const ms = time.Millisecond
	return []timer{
		{"minElectionTimeout", &minElectionTimeout, 4000 * ms, 1000 * ms},
		{"maxElectionTimeout", &maxElectionTimeout, 9000 * ms, 1800 * ms},
		{"minCampaignTimeout", &minCampaignTimeout, 100 * ms, 50 * ms},
		{"maxCampaignTimeout", &maxCampaignTimeout, 800 * ms, 300 * ms},
		{"hbInterval", &hbInterval, 1000 * ms, 200 * ms},
		{"lostQuorumInterval", &lostQuorumInterval, 10000 * ms, 3000 * ms},
		{"lostQuorumCheck", &lostQuorumCheck, 10000 * ms, 1000 * ms},
	}
}

// process says what the first Start of this process decided about the timers, since running servers read them without a
// lock. It is the package's only mutable state.
var process struct {
	once  sync.Once
	fixed bool
}

var errTimers = errors.New("natsd: servers of one process must agree on FixedTimers")

// setTimers sets the timers, once per process, before the first server starts.
func setTimers(fixed bool) error {
	process.once.Do(func() {
		process.fixed = fixed
		if fixed {
			return
		}
		for _, t := range timers() {
			*t.v = t.ours
		}
	})
	if process.fixed != fixed {
		return errTimers
	}
	return nil
}
