package fault

import (
	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/wire"
)

// Cut lets nothing through between replicas and the others, without a sign to either side. Clients still reach them.
func (in *Injector) Cut(targets ...int) (*Injury, error) {
	return in.impair("cut", wire.Rule{Cut: true}, wire.Rule{Cut: true}, targets)
}

// Deafen lets nothing through to replicas; what they send arrives.
func (in *Injector) Deafen(targets ...int) (*Injury, error) {
	return in.impair("hears nothing", wire.Rule{Cut: true}, wire.Rule{}, targets)
}

// Mute lets nothing through from replicas; what is sent to them arrives.
func (in *Injector) Mute(targets ...int) (*Injury, error) {
	return in.impair("is not heard", wire.Rule{}, wire.Rule{Cut: true}, targets)
}

// Impair makes what is sent from and to replicas follow a rule.
func (in *Injector) Impair(name string, r wire.Rule, targets ...int) (*Injury, error) {
	return in.impair(name, r, r, targets)
}

// impair sets what happens to packets on their way to targets and from them.
func (in *Injector) impair(name string, to, from wire.Rule, targets []int) (*Injury, error) {
	set := func(i int, to, from wire.Rule) error {
		in.Cluster.Links(i, to, from)
		return nil
	}
	return in.begin(name, targets,
		func(_ *cluster.Replica, i int) error { return set(i, to, from) },
		func(_ *cluster.Replica, i int) error { return set(i, wire.Rule{}, wire.Rule{}) })
}

// Weather makes all links follow a rule from now on. It is not noted as a disturbance of any replica: what it does to them
// is no excuse.
func (in *Injector) Weather(name string, r wire.Rule) {
	in.Logf("%s: all links", name)
	for from := range in.Cluster.Replicas {
		for to := range in.Cluster.Replicas {
			if from != to {
				in.Cluster.Link(from, to, r)
			}
		}
	}
}
