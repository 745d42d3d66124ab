package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/fault"
	"github.com/knell-auth/knell/events"
)

// upgrades returns the scenarios of two versions.
func upgrades() []Scenario {
	return []Scenario{
		{
			Name:     "upgrade",
			Proves:   "replicas are replaced by the next version one by one, and back; what is new waits for the last one, and then there is no way back",
			Upgrades: true,
			Check:    check.Options{Logout: logoutBound},
			run:      upgrade,
		},
		{
			Name:     "mutant-levels",
			Proves:   "a replica that writes what is new while others are older stops these, and this harness sees it",
			LongOnly: true,
			Upgrades: true,
			Break:    "no-levels",
			Breaks:   check.Live,
			run:      upgradeBlindly,
		},
	}
}

// builds are the two versions of knell, and which replica runs the next one.
type builds struct {
	old, next string
	newer     []bool
}

// use makes replica i start as the next version, or as the old one, when it starts again.
func (x *experiment) use(i int, newer bool) {
	binary := x.old
	if newer {
		binary = x.next
	}
	x.Cluster.Replicas[i].Use(binary)
	x.newer[i] = newer
}

// swap kills replicas, which come back as the other version.
func (x *experiment) swap(targets ...int) (*fault.Injury, error) {
	for _, i := range targets {
		x.use(i, !x.newer[i])
		x.Logf("replica %d comes back as another version (the next one: %v)", i, x.newer[i])
	}
	return x.Kill(targets...)
}

// replace restarts replica i as the next version, or as the old one. Every third time it is killed: then nobody says that the life
// before has ended, but the directory proves it.
func (x *experiment) replace(ctx context.Context, i int, newer bool) error {
	end := func() (*fault.Injury, error) { return x.Stop(ctx, i) }
	if x.rng.IntN(3) == 0 {
		end = func() (*fault.Injury, error) { return x.Kill(i) }
	}
	j, err := end()
	if err != nil {
		return err
	}
	x.use(i, newer)
	x.Logf("replica %d is replaced (by the next version: %v)", i, newer)
	return x.heal(ctx, j)
}

func upgrade(ctx context.Context, x *experiment) error {
	order := x.rng.Perm(len(x.Cluster.Replicas))
	// There and back.
	for range x.repeat(1, 3) {
		i := order[x.rng.IntN(len(order))]
		if err := x.replace(ctx, i, true); err != nil {
			return err
		}
		if err := x.mixed(ctx); err != nil {
			return err
		}
		if err := x.replace(ctx, i, false); err != nil {
			return err
		}
	}
	for _, i := range order {
		if err := x.mixed(ctx); err != nil {
			return err
		}
		if err := x.replace(ctx, i, true); err != nil {
			return err
		}
	}
	for i := range x.Cluster.Replicas {
		if err := x.feature(ctx, i, "/next", http.StatusNoContent, ""); err != nil {
			return err
		}
	}
	for _, i := range order[:x.repeat(1, len(order))] {
		if err := x.noWayBack(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// upgradeBlindly uses what is new while others cannot read it. These end, and are started as the next version after a while, as by an
// operator who wonders.
func upgradeBlindly(ctx context.Context, x *experiment) error {
	err := errors.Join(x.replace(ctx, 0, true), x.feature(ctx, 0, "/next", http.StatusNoContent, ""), x.wait(ctx, 2*time.Second))
	for i, r := range x.Cluster.Replicas {
		if err != nil || x.newer[i] {
			continue
		}
		x.Logf("replica %d has ended: %s", i, r.LastLine())
		x.use(i, true)
		err = r.Start() // fails when it has not
	}
	return err
}

// mixed checks what the replicas of the next version do while others run the old one: they refuse what those could not read, and
// say because of whom; what those may pass over they write.
func (x *experiment) mixed(ctx context.Context) error {
	var older []string
	for i, r := range x.Cluster.Replicas {
		if !x.newer[i] {
			older = append(older, r.Name)
		}
	}
	slices.Sort(older)
	for i, newer := range x.newer {
		if !newer {
			continue
		}
		because := "an older one is still in the cluster: " + strings.Join(older, ", ") + `"`
		err := errors.Join(x.feature(ctx, i, "/next", http.StatusServiceUnavailable, because),
			x.feature(ctx, i, "/next?optional", http.StatusNoContent, ""))
		if err != nil {
			return err
		}
	}
	return nil
}

// feature asks replica i for what only the next version has, and compares the answer.
func (x *experiment) feature(ctx context.Context, i int, path string, status int, text string) error {
	resp, err := send(ctx, x.Cluster.Replicas[i], http.MethodPost, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return err
	}
	x.Logf("replica %d: POST %s: %d %s", i, path, resp.StatusCode, strings.TrimSpace(string(body)))
	if resp.StatusCode != status || !strings.Contains(string(body), text) {
		return fmt.Errorf("replica %d: POST %s: %s: %s; want %d and %q", i, path, resp.Status, body, status, text)
	}
	return nil
}

// noWayBack starts the old version where the new one ran, on its directory and then on an empty one. It has to refuse, to say why,
// and to disturb nobody; the new version goes on with what it left.
func (x *experiment) noWayBack(ctx context.Context, i int) error {
	r := x.Cluster.Replicas[i]
	j, err := x.Stop(ctx, i)
	if err != nil {
		return err
	}
	x.use(i, false)
	if err := x.refuses(ctx, i, "this data directory"); err != nil {
		return err
	}
	if err := r.Wipe(); err != nil {
		return err
	}
	if err := x.refuses(ctx, i, " log: "); err != nil {
		return err
	}
	x.use(i, true)
	return x.heal(ctx, j)
}

// refuses starts replica i, which must end and say why.
func (x *experiment) refuses(ctx context.Context, i int, why string) error {
	r := x.Cluster.Replicas[i]
	if err := r.Start(); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := r.WaitReady(within)
	last := r.LastLine()
	x.Logf("replica %d does not start: %s", i, last)
	if !errors.Is(err, cluster.ErrExited) || !strings.Contains(last, why) || !strings.Contains(last, fmt.Sprint("schema level ", events.Level+1)) {
		return fmt.Errorf("replica %d, of an older version than its log: %w; it says %q, want %q", i, err, last, why)
	}
	return nil
}
