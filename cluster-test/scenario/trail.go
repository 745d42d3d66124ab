package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/history"
)

// trail is an auditor: it reads the public events, at one replica after the other, and keeps them, so that they can be judged when the log
// has been trimmed. A nil trail has read nothing.
type trail struct {
	replicas []*cluster.Replica
	path     string // of the file
	after    string // what it has read: the cursor of the last page
}

// trailEvery is the time between two looks. What is trimmed has been read before, as long as this is less than two snapshots take.
const trailEvery = 200 * time.Millisecond

// errTrailLost is that events were trimmed before they were read.
var errTrailLost = errors.New("the log was trimmed past what its reader has got")

// follow reads until ctx ends.
func (t *trail) follow(ctx context.Context) error {
	look := time.NewTicker(trailEvery)
	defer look.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		// One that is dead, paused or not current is left out: the next one has the same events.
		if err := t.read(ctx, t.replicas[n%len(t.replicas)]); errors.Is(err, errTrailLost) {
			return err
		}
	}
}

// read reads what a replica has beyond the cursor.
func (t *trail) read(ctx context.Context, r *cluster.Replica) error {
	for more := true; more; {
		var err error
		if more, err = t.page(ctx, r); err != nil {
			return fmt.Errorf("GET /events of %s: %w", r.Name, err)
		}
	}
	return nil
}

// trailPatience is how long a replica may take for a page.
const trailPatience = time.Second

func (t *trail) page(ctx context.Context, r *cluster.Replica) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, trailPatience)
	defer cancel()
	resp, err := sendFor(ctx, r, http.MethodGet, "/events?limit=1000&after="+t.after, "application/x-ndjson")
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return false, err
	case resp.StatusCode == http.StatusGone:
		return false, fmt.Errorf("%w: %s", errTrailLost, text)
	case resp.StatusCode != http.StatusOK:
		return false, fmt.Errorf("%s: %.200s", resp.Status, text)
	}
	f, err := os.OpenFile(t.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return false, err
	}
	if _, err := f.Write(text); err != nil {
		return false, errors.Join(err, f.Close())
	}
	t.after = resp.Header.Get("X-Knell-Cursor")
	return resp.Header.Get("Link") != "", f.Close()
}

// finish reads the rest, when nothing happens any more, and returns the sequence of a snapshot: from there on each replica can read its log.
func (t *trail) finish(ctx context.Context) (after uint64, err error) {
	if t == nil {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := t.read(ctx, t.replicas[0]); err != nil {
		return 0, err
	}
	e, err := extentOf(ctx, t.replicas[0])
	return e.Snapshot, err
}

// newTrail returns a trail that has read nothing yet, of the scenario whose directory is dir.
func newTrail(c *cluster.Cluster, dir string) *trail {
	return &trail{replicas: c.Replicas, path: history.TrailFile(dir), after: "0"}
}
