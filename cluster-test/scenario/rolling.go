package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/history"
	"github.com/knell-auth/knell/cluster-test/traffic"
)

// rolling stops one replica after the other as an operator does who upgrades, and starts it as another version. Beside the clients that
// know all replicas there are some that know a balancer only: nothing that they ask may be refused.
func rolling(ctx context.Context, x *experiment) (err error) {
	c, err := x.customers(ctx)
	if err != nil {
		return err
	}
	defer c.end()
	for pass := range x.repeat(1, 5) {
		for i := range x.Cluster.Replicas {
			j, err := x.Stop(ctx, i)
			if err != nil {
				return err
			}
			x.use(i, pass%2 == 0)
			if err := x.heal(ctx, j); err != nil {
				return err
			}
		}
	}
	c.end()
	return c.judge(x)
}

// customers are clients that go through a balancer, and what they saw.
type customers struct {
	front   *front
	traffic *traffic.Traffic
	rec     *history.Recorder
	busy    tooBusy
}

// tooBusy counts the answers in which a replica says that there are more passwords to hash than it can: that is the machine, whoever is
// restarted. Other refusals are logged with what they say.
type tooBusy struct {
	answers atomic.Int64
	logf    func(format string, args ...any)
}

func (b *tooBusy) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(&watched{ResponseWriter: w, by: b}, r) })
}

// watched is an answer that is looked at.
type watched struct {
	http.ResponseWriter
	by     *tooBusy
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *watched) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *watched) Write(p []byte) (int, error) {
	switch {
	case bytes.Contains(p, []byte(`"too busy"`)):
		w.by.answers.Add(1)
	case w.status >= http.StatusInternalServerError:
		w.by.logf("through the balancer: %d: %s", w.status, bytes.TrimSpace(p))
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (x *experiment) customers(ctx context.Context) (*customers, error) {
	c := &customers{rec: history.NewRecorder()}
	c.busy.logf = x.Logf
	f, err := startFront(x.Cluster, c.busy.watch)
	if err != nil {
		return nil, err
	}
	c.front = f
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := f.b.Wait(ctx, len(x.Cluster.Replicas)); err != nil {
		f.close()
		return nil, err
	}
	c.traffic, err = traffic.Start(ctx, traffic.Config{
		Targets: []string{f.url}, Users: users(), Seed: x.rng.Uint64(), Sessions: 30, Verify: 60, Logout: 6, Login: 3, Refresh: 5,
	}, c.rec)
	if err != nil {
		f.close()
	}
	return c, err
}

// end lets the clients finish what they have begun. It is idempotent.
func (c *customers) end() {
	if c.front == nil {
		return
	}
	c.traffic.Stop()
	c.front.close()
	c.front = nil
}

// leastAnswers is how many answers of each kind prove something.
const leastAnswers = 10

// firstCustomer is added to the numbers of sessions, so that those of all clients differ.
const firstCustomer = 1 << 24

// judge returns an error that names what was refused, and every violation: for these clients the service was never away. What they did becomes
// part of the experiment's history.
func (c *customers) judge(x *experiment) error {
	h := c.rec.History()
	var errs []error
	shift := x.rec.Now() - c.rec.Now()
	for _, op := range h.Ops {
		op.Start, op.End, op.Replica = op.Start+shift, op.End+shift, history.Balanced
		if op.Expires != 0 {
			op.Expires += shift
		}
		if op.Session != 0 {
			op.Session += firstCustomer
		}
		x.rec.Add(op)
	}
	answered, busy := map[history.Kind]int{}, c.busy.answers.Load()
	for _, op := range h.Ops {
		if op.Outcome == history.OK || op.Outcome == history.Refused {
			answered[op.Kind]++
			continue
		}
		if op.Kind == history.Login && op.Status == http.StatusServiceUnavailable {
			// A password that was hashed for longer than a lease is not judged by that lease any more: the same machine.
			slow := op.End-op.Start > x.lease
			if !slow {
				busy--
			}
			if slow || busy >= 0 {
				continue
			}
		}
		errs = append(errs, fmt.Errorf("through the balancer, at %v: %s of session %d: %s (%d)", op.Start, op.Kind, op.Session, op.Outcome, op.Status))
	}
	x.Logf("through the balancer: %d log-ins, %d verifications, %d refreshes, %d logouts answered, %d not; %d log-ins were too many to be hashed",
		answered[history.Login], answered[history.Verify], answered[history.Refresh], answered[history.Logout], len(errs), c.busy.answers.Load())
	for _, v := range check.All(h, check.Options{Logout: logoutBound}) {
		errs = append(errs, fmt.Errorf("through the balancer: %s", v))
	}
	for _, kind := range []history.Kind{history.Login, history.Verify, history.Refresh, history.Logout} {
		if answered[kind] < leastAnswers {
			errs = append(errs, fmt.Errorf("proves nothing: %d answers to a %s through the balancer", answered[kind], kind))
		}
	}
	return errors.Join(errs...)
}
