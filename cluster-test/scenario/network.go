package scenario

import (
	"context"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/fault"
	"github.com/knell-auth/knell/cluster-test/wire"
)

// network returns the scenarios with links that work badly or in one direction only.
func network() []Scenario {
	namespaces := func(c *cluster.Config) { c.Namespaces = true }
	return []Scenario{
		{
			Name:        "one-way-cut",
			Proves:      "a replica that hears nothing, or that nobody hears, stops to answer before any logout elsewhere returns",
			Sandbox:     true,
			LongOnly:    true,
			Cluster:     namespaces,
			Check:       check.Options{Logout: logoutBound, Slack: lastWords},
			FaultProbes: 5,
			run:         oneWayCut,
		},
		{
			Name:     "slow-network",
			Proves:   "links that take 20 to 30 ms in each direction make logouts slower, and nobody is turned away",
			Sandbox:  true,
			LongOnly: true,
			Cluster:  namespaces,
			Check:    check.Options{Logout: logoutBound},
			run:      badWeather("links take 20 to 30 ms", wire.Rule{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond}),
		},
		{
			Name:     "lossy-network",
			LongOnly: true,
			Proves:   "links that lose one packet of twenty make logouts slower, and nobody is turned away",
			Sandbox:  true,
			Cluster:  namespaces,
			Check:    check.Options{Logout: logoutBound},
			run:      badWeather("links lose 5 %", wire.Rule{Loss: 0.05}),
		},
	}
}

// lastWords is for tokens that the log's leader issued when the others had just acknowledged them and did not hear any more
// that they were committed. Until a new leader tells, they are asked to verify what they have not applied, and answer 503 as
// they should. Only those verifications count, and only until the next one is answered.
const lastWords = 100 * time.Millisecond

// oneWayCut cuts one direction at followers, and the other one at the leader; the seed says which is first. The leader comes
// last, as in cutOff. A follower that hears nothing stands for election again and again, and is heard.
func oneWayCut(ctx context.Context, x *experiment) error {
	ways := []func(*fault.Injector, ...int) (*fault.Injury, error){(*fault.Injector).Deafen, (*fault.Injector).Mute}
	first, times := x.rng.IntN(2), x.repeat(2, 8)
	for n := range times {
		who := x.follower
		if n == times-1 {
			who = x.leader
		}
		way := ways[(first+n)%2]
		err := x.hurt(ctx, who, x.longPause(), func(i int) (*fault.Injury, error) { return way(x.Injector, i) })
		if err != nil {
			return err
		}
	}
	return nil
}

// hurt disturbs one replica for some time and heals it.
func (x *experiment) hurt(ctx context.Context, who choice, d time.Duration, do func(int) (*fault.Injury, error)) error {
	i, err := who(ctx)
	if err != nil {
		return err
	}
	j, err := do(i)
	if err != nil {
		return err
	}
	if err := x.wait(ctx, d); err != nil {
		return err
	}
	return x.heal(ctx, j)
}

// badWeather makes all links follow a rule, for long enough that leases from before have run out and been renewed.
func badWeather(name string, r wire.Rule) func(context.Context, *experiment) error {
	return func(ctx context.Context, x *experiment) error {
		x.Weather(name, r)
		defer x.Weather("links are good again", wire.Rule{})
		return x.wait(ctx, time.Duration(x.repeat(2, 15))*x.lease)
	}
}
