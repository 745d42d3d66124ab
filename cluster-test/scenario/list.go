package scenario

import (
	"slices"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/cluster"
)

// logoutBound is what a logout may take, with the retries of its client: a lease, an election of the log's leader, and the
// attempts that a dead or silent replica swallows.
const logoutBound = 20 * time.Second

// smallDisk is enough for a replica's log of a run, and quickly filled.
const smallDisk = 256 << 20

// anywhere are the scenarios that can run with the log on NATS servers in processes of their own, too.
var anywhere = []string{
	"steady", "kill9-replica", "kill9-all", "sigterm-rolling", "restart-empty", "restart-old", "pause-short", "pause-long", "upgrade",
	"stream-kill", "webhook-kill",
}

// elsewhere returns s with the log on NATS servers in processes of their own, and why that cannot be if it cannot.
func (s Scenario) elsewhere() (_ Scenario, why string) {
	if !slices.Contains(anywhere, s.Name) {
		return s, "is about replicas that keep the log themselves"
	}
	own := s.Cluster
	s.Cluster = func(c *cluster.Config) {
		if own != nil {
			own(c)
		}
		c.External, c.Lease = true, max(c.Lease, externalLease)
	}
	s.Check.Logout *= 3 // as long are leases and elections
	return s, ""
}

// All returns every scenario.
func All() []Scenario {
	return slices.Concat(
		crashes(),
		silences(),
		disks(),
		clocks(),
		mutants(),
		power(),
		network(),
		combined(),
		upgrades(),
		topologies(),
		streams(),
		webhooks(),
		consumers(),
		retention(),
	)
}

func crashes() []Scenario {
	return []Scenario{
		{
			Name:   "steady",
			Proves: "without faults nothing leaks, nothing is refused, nobody is unavailable, and a logout takes milliseconds",
			Check:  check.Options{Logout: 2 * time.Second},
			run:    steady,
		},
		{
			Name:   "kill9-replica",
			Proves: "a killed replica costs nobody else a verification; it comes back with everything that was acknowledged",
			Check:  check.Options{Logout: logoutBound},
			run:    killFollower,
		},
		{
			Name:   "kill9-leader",
			Proves: "killing the leader of the log, again and again, makes no other replica turn a good token away",
			Check:  check.Options{Logout: logoutBound},
			run:    killLeader,
		},
		{
			Name:   "kill9-all",
			Proves: "what was acknowledged survives the death of all replicas at once; no ended session comes back",
			Check:  check.Options{Logout: 2 * logoutBound, Outage: true},
			run:    killAll,
		},
		{
			Name:     "sigterm-rolling",
			Proves:   "replicas are replaced by another version one by one, under load: of what goes through a balancer that heeds /readyz nothing is refused and nothing leaks",
			Upgrades: true,
			Check:    check.Options{Logout: logoutBound},
			run:      rolling,
		},
		{
			Name:   "restart-empty",
			Proves: "a replica that lost its disk gets everything back from the others before it answers",
			Check:  check.Options{Logout: logoutBound},
			run:    restartEmpty,
		},
		{
			Name:   "restart-old",
			Proves: "a replica that comes back with an old copy of its disk accepts nothing that ended since",
			Check:  check.Options{Logout: logoutBound},
			run:    restartOld,
		},
	}
}

func silences() []Scenario {
	namespaces := func(c *cluster.Config) { c.Namespaces = true }
	return []Scenario{
		{
			Name:   "pause-short",
			Proves: "a logout waits for a replica that is frozen for less than a lease; good tokens are not refused",
			Check:  check.Options{Logout: logoutBound},
			run:    pauseShort,
		},
		{
			Name:        "pause-long",
			Proves:      "a replica that was frozen for longer than its lease wakes up refusing, even what was asked while it slept",
			Check:       check.Options{Logout: logoutBound},
			FaultProbes: 5,
			run:         pauseLong,
		},
		{
			Name:        "pause-leader",
			Proves:      "the same when the frozen replica leads the log and may still believe so when it wakes",
			Check:       check.Options{Logout: logoutBound},
			FaultProbes: 5,
			LongOnly:    true,
			run:         pauseLeader,
		},
		{
			Name:        "cut-off",
			Proves:      "a replica whose link to the others is cut stops to answer before any logout elsewhere returns",
			Sandbox:     true,
			Cluster:     namespaces,
			Check:       check.Options{Logout: logoutBound},
			FaultProbes: 5,
			run:         cutOff,
		},
	}
}

func disks() []Scenario {
	small := func(c *cluster.Config) {
		c.DiskBytes = smallDisk
		c.Arguments = append(c.Arguments, "--log-max-bytes", "64MiB")
	}
	return []Scenario{
		{
			Name:   "corrupt",
			Proves: "a replica with a damaged data directory says so and stays down, or repairs itself from the others; it never answers wrongly",
			Check:  check.Options{Logout: logoutBound},
			run:    corrupt,
		},
		{
			Name:    "disk-full",
			Proves:  "a full disk of one replica costs the others nothing",
			Sandbox: true,
			Cluster: small,
			Check:   check.Options{Logout: logoutBound},
			run:     diskFullOne,
		},
		{
			Name:    "disk-full-all",
			Proves:  "full disks everywhere stop the service without a wrong answer, and it goes on once there is room",
			Sandbox: true, LongOnly: true,
			Cluster: small,
			Check:   check.Options{Logout: 3 * logoutBound, Outage: true},
			run:     diskFullAll,
		},
	}
}

// Find returns the scenarios of the given names; when there is no name, all of them, or all of the short form. unknown is a
// name that no scenario has.
func Find(names []string, short bool) (found []Scenario, unknown string) {
	if len(names) == 0 {
		return slices.DeleteFunc(All(), func(s Scenario) bool { return short && s.LongOnly }), ""
	}
	byName := map[string]Scenario{}
	for _, s := range All() {
		byName[s.Name] = s
	}
	for _, name := range names {
		s, ok := byName[name]
		if !ok {
			return nil, name
		}
		found = append(found, s)
	}
	return found, ""
}
