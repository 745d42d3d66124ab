package natsd

import (
	"os"
	"testing"
	"time"
)

// found holds nats-server's own values, read before any test starts a server.
var found = map[string]time.Duration{}

func TestMain(m *testing.M) {
	for _, t := range timers() {
		found[t.name] = *t.v
	}
	os.Exit(m.Run())
}

// TestTimerDefaults fails when nats-server changes a default. Then read what it says about the timer, think about ours
// again, and change both in timers.go.
func TestTimerDefaults(t *testing.T) {
	for _, tm := range timers() {
		if found[tm.name] != tm.theirs {
			t.Errorf("nats-server's %s is %v, was %v", tm.name, found[tm.name], tm.theirs)
		}
	}
	if err := setTimers(false); err != nil {
		t.Fatal(err)
	}
	for _, tm := range timers() {
		if *tm.v != tm.ours {
			t.Errorf("%s is %v, want %v", tm.name, *tm.v, tm.ours)
		}
	}
	if err := setTimers(true); err != errTimers {
		t.Errorf("changing one's mind: %v", err)
	}
}

// TestTimerRatios holds what timers' comment says about how they hang together.
func TestTimerRatios(t *testing.T) {
	v := map[string]time.Duration{}
	for _, tm := range timers() {
		v[tm.name] = tm.ours
	}
	switch {
	case v["minElectionTimeout"] < 4*v["hbInterval"]:
		t.Error("a follower does not wait for two heartbeats and some delay")
	case v["maxElectionTimeout"] < v["minElectionTimeout"]*3/2:
		t.Error("election timeouts are too close together")
	case v["maxCampaignTimeout"] <= v["minCampaignTimeout"]:
		t.Error("nats-server panics without a range of campaign timeouts")
	case v["lostQuorumInterval"] <= v["maxElectionTimeout"]:
		t.Error("a leader steps down before an election would be over")
	case v["lostQuorumCheck"] > v["lostQuorumInterval"]:
		t.Error("lost quorum is checked too rarely")
	}
}
