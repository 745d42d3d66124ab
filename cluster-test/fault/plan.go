package fault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kinds of planned faults.
const (
	PlanPause = "pause" // SIGSTOP, and SIGCONT in the end
	PlanKill  = "kill"  // kill -9, and a new start in the end
	PlanCut   = "cut"   // no link to the other replicas; needs a cluster with namespaces
)

var planKinds = []string{PlanPause, PlanKill, PlanCut}

// Replicas of a planned fault that are not known by name.
const (
	Leader = "leader" // the one that leads the log then
	Any    = "any"    // one at random that is well
)

// Planned is a fault that begins at an instant of a plan and lasts.
type Planned struct {
	Kind    string
	At, For time.Duration
	Replica string // a name, Leader or Any
}

// ParsePlanned reads a fault such as pause@10s:r1:3s.
func ParsePlanned(text string) (p Planned, err error) {
	malformed := func(why string) (Planned, error) {
		return Planned{}, fmt.Errorf("%q: %s; want kind@begin:replica:duration, such as pause@10s:r1:3s", text, why)
	}
	kind, rest, found := strings.Cut(text, "@")
	parts := strings.Split(rest, ":")
	if !found || len(parts) != 3 {
		return malformed("it has not the four parts of a fault")
	}
	p = Planned{Kind: kind, Replica: parts[1]}
	if !slices.Contains(planKinds, kind) {
		return malformed(fmt.Sprintf("%q is none of %s", kind, strings.Join(planKinds, ", ")))
	}
	if p.Replica == "" {
		return malformed("it names no replica")
	}
	if p.At, err = time.ParseDuration(parts[0]); err != nil || p.At < 0 {
		return malformed(fmt.Sprintf("%q is no time to begin", parts[0]))
	}
	if p.For, err = time.ParseDuration(parts[2]); err != nil || p.For <= 0 {
		return malformed(fmt.Sprintf("%q is no duration", parts[2]))
	}
	return p, nil
}

// ParseKinds reads a list of kinds.
func ParseKinds(list []string) error {
	for _, k := range list {
		if !slices.Contains(planKinds, k) {
			return fmt.Errorf("%q is none of %s", k, strings.Join(planKinds, ", "))
		}
	}
	return nil
}

// Plan says what happens to a cluster and when.
type Plan struct {
	Faults []Planned
	// Every is how often a fault of one of Kinds begins at a replica at random, unless another one lasts still; 0: never.
	// It lasts for Shortest to Longest.
	Every             time.Duration
	Kinds             []string
	Shortest, Longest time.Duration
	Seed              uint64
}

// Empty reports whether nothing happens.
func (p Plan) Empty() bool { return len(p.Faults) == 0 && p.Every == 0 }

// Uses reports whether faults of this kind may happen.
func (p Plan) Uses(kind string) bool {
	return p.Every > 0 && slices.Contains(p.Kinds, kind) || slices.ContainsFunc(p.Faults, func(f Planned) bool { return f.Kind == kind })
}

// UsesLeader reports whether somebody has to know who leads the log.
func (p Plan) UsesLeader() bool {
	return slices.ContainsFunc(p.Faults, func(f Planned) bool { return f.Replica == Leader })
}

// Check returns an error when p does not fit replicas of these names or a run of this length.
func (p Plan) Check(names []string, length time.Duration) error {
	faults := slices.SortedFunc(slices.Values(p.Faults), func(a, b Planned) int { return cmp.Compare(a.At, b.At) })
	until := map[string]time.Duration{}
	for _, f := range faults {
		if f.At+f.For > length {
			return fmt.Errorf("%s@%v:%s:%v ends after the run, which takes %v", f.Kind, f.At, f.Replica, f.For, length)
		}
		if f.Replica == Leader || f.Replica == Any {
			continue
		}
		if !slices.Contains(names, f.Replica) {
			return fmt.Errorf("no replica is named %q: want one of %s, %s, %s", f.Replica, strings.Join(names, ", "), Leader, Any)
		}
		if f.At < until[f.Replica] {
			return fmt.Errorf("%s@%v:%s:%v begins before the fault of %s before it ends", f.Kind, f.At, f.Replica, f.For, f.Replica)
		}
		until[f.Replica] = f.At + f.For
	}
	if p.Every != 0 && p.Every < p.Longest {
		return fmt.Errorf("a fault every %v, but one may last for %v", p.Every, p.Longest)
	}
	return nil
}

// timeline returns all faults of p up to the given instant in the order of their begin.
func (p Plan) timeline(end time.Duration) []Planned {
	all := slices.Clone(p.Faults)
	if p.Every > 0 {
		rng := rand.New(rand.NewPCG(p.Seed, 0))
		for at := p.Every; at < end; at += p.Every {
			f := Planned{Kind: p.Kinds[rng.IntN(len(p.Kinds))], At: at, Replica: Any}
			f.For = p.Shortest
			if spare := p.Longest - p.Shortest; spare > 0 {
				f.For += time.Duration(rng.Int64N(int64(spare)))
			}
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b Planned) int { return cmp.Compare(a.At, b.At) })
	return all
}

// recovery is how long a replica may take to be ready again after a fault.
const recovery = 60 * time.Second

// Follow carries out a plan until its end or until ctx ends, and undoes what lasts then. It returns when all replicas are
// ready again, or when healing ends. While it runs nobody else may use in.
func (in *Injector) Follow(ctx, healing context.Context, p Plan, length time.Duration) error {
	f := &following{in: in, begin: in.Recorder.Now(), hurt: map[int]bool{}}
	timeline := p.timeline(length)
	var err error
	for err == nil && (len(timeline) > 0 || len(f.lasting) > 0) {
		next := f.next(timeline)
		if !f.sleep(ctx, next) {
			break
		}
		switch {
		case len(f.lasting) > 0 && f.lasting[0].until <= next:
			err = f.end(healing)
		default:
			err = f.start(timeline[0], p)
			timeline = timeline[1:]
		}
	}
	for len(f.lasting) > 0 {
		err = errors.Join(err, f.end(healing))
	}
	f.awaited.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(err, f.err)
}

// following is a plan that is carried out. One goroutine begins and undoes faults; others wait for replicas to recover.
type following struct {
	in      *Injector
	begin   time.Duration // on the recorder's clock
	lasting []lasting     // by until
	awaited sync.WaitGroup

	mu   sync.Mutex // guards all below
	hurt map[int]bool
	err  error
}

type lasting struct {
	until  time.Duration
	target int
	injury *Injury
}

// next returns when something has to be done.
func (f *following) next(timeline []Planned) time.Duration {
	switch {
	case len(timeline) == 0:
		return f.lasting[0].until
	case len(f.lasting) == 0:
		return timeline[0].At
	}
	return min(timeline[0].At, f.lasting[0].until)
}

func (f *following) sleep(ctx context.Context, until time.Duration) bool {
	timer := time.NewTimer(f.begin + until - f.in.Recorder.Now())
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// start begins one fault, if there is a replica for it.
func (f *following) start(p Planned, plan Plan) error {
	target := f.target(p, plan)
	if target < 0 {
		f.in.Logf("%s of %s left out: an earlier fault is not over yet", p.Kind, p.Replica)
		return nil
	}
	act := map[string]func(...int) (*Injury, error){PlanPause: f.in.Pause, PlanKill: f.in.Kill, PlanCut: f.in.Cut}[p.Kind]
	j, err := act(target)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.hurt[target] = true
	f.mu.Unlock()
	f.lasting = append(f.lasting, lasting{f.in.Recorder.Now() - f.begin + p.For, target, j})
	slices.SortStableFunc(f.lasting, func(a, b lasting) int { return cmp.Compare(a.until, b.until) })
	return nil
}

// target returns the number of the replica that is meant, -1 when it is not well enough. Faults at random leave the
// majority alone.
func (f *following) target(p Planned, plan Plan) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.in.Cluster.Replicas)
	i := -1
	switch p.Replica {
	case Leader:
		i = f.in.Cluster.Leader()
	case Any:
		if 2*(len(f.hurt)+1) >= n && plan.Every > 0 {
			return -1
		}
		first := f.in.Rand.IntN(n)
		for k := range n {
			if i = (first + k) % n; !f.hurt[i] {
				break
			}
		}
	default:
		for k, r := range f.in.Cluster.Replicas {
			if r.Name == p.Replica {
				i = k
			}
		}
	}
	if i < 0 || f.hurt[i] {
		return -1
	}
	return i
}

// end undoes the fault that ends first, and lets somebody wait until its replica is ready.
func (f *following) end(healing context.Context) error {
	l := f.lasting[0]
	f.lasting = f.lasting[1:]
	if err := l.injury.Undo(); err != nil {
		return err
	}
	f.awaited.Go(func() {
		ctx, cancel := context.WithTimeout(healing, recovery)
		defer cancel()
		err := l.injury.Await(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		switch {
		case healing.Err() != nil: // nobody waits for it any more
		case err != nil:
			f.err = errors.Join(f.err, err)
		default:
			delete(f.hurt, l.target)
		}
	})
	return nil
}
