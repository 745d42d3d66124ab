package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/webhook"
)

// WebhookLag says how far a webhook is behind.
type WebhookLag struct {
	Events  int           // that are asked for and have not been delivered; no more than maxLag are counted
	More    bool          // there are more
	Behind  time.Duration // since the oldest of them
	Trimmed bool          // the log has some of them no more
}

// maxLag is how many events are counted.
const maxLag = 1000

// Lag counts the events that a webhook has not got yet. It reads the log from the cursor on. ErrNotFound, ErrNotCurrent.
func (n *Node) Lag(ctx context.Context, name string) (WebhookLag, error) {
	v, err := n.Webhook(name)
	if err != nil {
		return WebhookLag{}, err
	}
	var lag WebhookLag
	var oldest time.Time
	q := EventQuery{After: v.Cursor, Types: v.Filter.Types, Subject: v.Filter.Subject, User: v.Filter.User}
	page := EventPage{More: true}
	for page.More && lag.Events < maxLag && err == nil {
		page, err = n.ReadEvents(ctx, q, maxLag-lag.Events, func(b EventBatch) error {
			lag.Events += len(b.Events)
			if oldest.IsZero() && len(b.Events) > 0 {
				var f events.Facts
				if err := events.Look(b.Events[0].AppendJSON(nil), &f); err == nil {
					oldest = f.Time()
				}
			}
			return nil
		})
		q.After = page.To
	}
	if errors.Is(err, ErrTrimmed) {
		lag.Trimmed, err = true, nil
	}
	lag.More = page.More && lag.Events >= maxLag
	if !oldest.IsZero() {
		lag.Behind = max(0, n.clock.now().Sub(oldest))
	}
	return lag, err
}

// WebhookTest is what came of a test.
type WebhookTest struct {
	Status int           // of the answer; 0: there was none
	Error  string        // "": the target took it
	Took   time.Duration // the attempt
}

// testType is the type of the event of a test, which is in no log.
const testType = "knell.webhook.test"

// TestWebhook sends one event that is in no log, from this replica, also while the webhook is paused, and says what came of it.
// ErrNotFound, ErrNotCurrent.
func (n *Node) TestWebhook(ctx context.Context, name string, o Origin) (WebhookTest, error) {
	var h hook
	err := n.whileCurrent(func() {
		if found := n.state.hooks[name]; found != nil {
			h = *found
		}
	})
	if err == nil && h.name == "" {
		err = fmt.Errorf("%w: webhook", ErrNotFound)
	}
	if err != nil {
		return WebhookTest{}, err
	}
	s, err := n.newSender(&h, func() error {
		return n.allows(func() bool { now := n.state.hooks[name]; return now != nil && now.seq == h.seq })
	})
	if err != nil {
		return WebhookTest{}, err
	}
	defer s.Close()
	id := events.NewID().String()
	body, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": id, "source": "/knell/" + n.cfg.Name, "type": testType, "subject": name, "actor": o.Actor,
		"time": n.clock.now().UTC().Format(time.RFC3339Nano), "datacontenttype": "application/json", "data": map[string]any{"webhook": name},
	})
	if err != nil {
		return WebhookTest{}, err
	}
	began := time.Now()
	r := s.Send(ctx, n.sign(&h, id, body))
	t := WebhookTest{Status: r.Status, Took: time.Since(began)}
	switch {
	case r.Err == nil:
	case webhook.IsStopped(r.Err):
		return t, ErrNotCurrent
	default:
		t.Error = r.Err.Error()
	}
	return t, nil
}
