package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// found is an event as a reader sees it.
type found struct {
	seq                        uint64
	Sequence, Type, Void       string
	Username, Actorname, Actor string
}

func (f found) String() string {
	s := strings.TrimPrefix(f.Type, "knell.")
	if f.Void != "" {
		s += " void:" + f.Void
	}
	if f.Username != "" {
		s += " of " + f.Username
	}
	if f.Actorname != "" {
		s += " by " + f.Actorname
	}
	return s
}

// follower is one call of FollowEvents.
type follower struct {
	t      *testing.T
	got    []found
	to     uint64
	beats  int
	gate   chan struct{} // each batch takes an element; nil: none waits
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

func follow(t *testing.T, n *Node, q EventQuery, gate chan struct{}) *follower {
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{t: t, gate: gate, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.err = n.FollowEvents(ctx, q, time.Minute, func(b EventBatch) error {
			if len(b.Events) > 0 && f.gate != nil {
				<-f.gate
			}
			f.take(b)
			return nil
		})
	}()
	t.Cleanup(f.stop)
	return f
}

func (f *follower) take(b EventBatch) {
	if len(b.Events) == 0 {
		f.beats++
	}
	for _, e := range b.Events {
		got := found{seq: e.Seq}
		if err := json.Unmarshal(e.AppendJSON(nil), &got); err != nil {
			f.t.Errorf("event %d: %v in %s", e.Seq, err, e.AppendJSON(nil))
		}
		if got.Sequence != fmt.Sprintf("%020d", e.Seq) || e.Seq <= f.to {
			f.t.Errorf("event %d after %d has the sequence %s", e.Seq, f.to, got.Sequence)
		}
		f.got = append(f.got, got)
	}
	if b.To < f.to {
		f.t.Errorf("back from %d to %d", f.to, b.To)
	}
	f.to = b.To
}

func (f *follower) stop() {
	f.cancel()
	<-f.done
}

// lines returns what was found, without attempts.
func (f *follower) lines() []string {
	var list []string
	for _, e := range f.got {
		if !strings.HasPrefix(e.Type, "knell.attempt.") {
			list = append(list, e.String())
		}
	}
	return list
}

func (f *follower) want(lines ...string) {
	f.t.Helper()
	shown()
	if got := f.lines(); !slices.Equal(got, lines) {
		f.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
	}
}

// page reads pages until there is no more.
func page(t *testing.T, n *Node, q EventQuery, limit int) *follower {
	t.Helper()
	f := &follower{t: t}
	for pages := 0; ; pages++ {
		count := 0
		p, err := n.ReadEvents(context.Background(), q, limit, func(b EventBatch) error {
			count += len(b.Events)
			f.take(b)
			return nil
		})
		if err != nil || count > limit || pages > 1000 {
			t.Fatalf("page %d has %d events: %v", pages, count, err)
		}
		f.to = p.To
		if q.After = p.To; !p.More {
			return f
		}
	}
}

// shown waits until followers have got what was applied.
func shown() {
	time.Sleep(100 * time.Millisecond) // more than a tick, for a replica that was behind
	synctest.Wait()
}

// must0 fails the test unless err is nil.
func must0(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
