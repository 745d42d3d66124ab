package node

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
)

func parseSeq(text string) (uint64, error) { return strconv.ParseUint(text, 10, 64) }

// What is sent is what a reader of the log gets, text for text; nothing tells of deliveries; every replica says how far they are.
func TestWebhookDelivers(t *testing.T) {
	withTarget(t, "a b c", nil, func(t *testing.T, r *rig, h *hookTarget) {
		ctx := context.Background()
		begin := r.nodes["a"].hot.applied.Load()
		r.hook(h, "all", func(w *NewWebhook) { w.After = begin })
		r.hook(h, "ends", func(w *NewWebhook) { w.Filter.Types, w.After = []string{"revoked", "knell.account"}, begin })
		for _, at := range []string{"a", "b", "c"} {
			tok := r.login(at)
			must0(t, r.nodes[at].Logout(ctx, tok.AccessToken, Origin{}))
			must0(t, r.nodes[at].Logout(ctx, tok.AccessToken, Origin{}))
		}
		bob := r.user("bob", "a long enough one")
		must0(t, r.nodes["b"].DisableUser(ctx, bob.ID, Origin{Actor: "local"}))
		must0(t, r.nodes["c"].DisableUser(ctx, bob.ID, Origin{Actor: "local"})) // void
		pass(3 * time.Second)
		for name, q := range map[string]EventQuery{"all": {After: begin}, "ends": {After: begin, Types: []string{"revoked", "account"}}} {
			if n := r.inOrder(h, name, q); n > 0 {
				t.Errorf("%s: %d came again", name, n)
			}
			_, taken := h.hits("/" + name)
			var text []string
			_, err := r.nodes["b"].ReadEvents(ctx, q, 1000, func(b EventBatch) error {
				for _, e := range b.Events {
					text = append(text, string(e.AppendJSON(nil)))
				}
				return nil
			})
			must0(t, err)
			for i, g := range taken {
				if g.body != text[i] || strings.Contains(g.body, "in-the-address") || !strings.HasPrefix(g.agent, "knell/") || g.signed != 1 {
					t.Errorf("%s: sent %s\nread %s", name, g.body, text[i])
				}
			}
			voids := slices.ContainsFunc(taken, func(g hit) bool { return g.Void == "noop" })
			if !voids || len(taken) < 5 {
				t.Errorf("%s: %d events, void ones among them: %v", name, len(taken), voids)
			}
			for at, n := range r.nodes {
				w := must(n.Webhook(name))(t)
				lag := must(n.Lag(ctx, name))(t)
				if lag != (WebhookLag{}) || w.Delivering == "" || w.Success.IsZero() || w.Cursor < must(parseSeq(taken[len(taken)-1].Sequence))(t) {
					t.Errorf("%s at %s: %+v, lag %+v", name, at, w, lag)
				}
			}
		}
		quiet := r.log.Messages()
		pass(time.Minute)
		for _, m := range r.log.Messages()[len(quiet):] {
			if !strings.Contains(string(m.Data), "knell.node.beat") {
				t.Errorf("with nothing to deliver: %s", m.Data)
			}
		}
		r.same()
	})
}

// Attempts that fail are made again, later and later, in order; what a target asks for is heeded; all replicas know.
func TestWebhookRetries(t *testing.T) {
	withTarget(t, "a b c", nil, func(t *testing.T, r *rig, h *hookTarget) {
		begin := r.nodes["a"].hot.applied.Load()
		answers := []struct {
			status int
			header string
			least  time.Duration // to the next attempt
		}{
			{500, "", 500 * time.Millisecond}, {429, "Retry-After: 20", 20 * time.Second}, {302, "Location: http://target.test/elsewhere", 2 * time.Second},
			{404, "", 4 * time.Second}, {503, "Retry-After: soon", 8 * time.Second},
		}
		n := 0
		h.answers(func(hit) (int, string) {
			if n++; n <= len(answers) {
				return answers[n-1].status, answers[n-1].header
			}
			return 200, ""
		})
		r.hook(h, "siem", func(w *NewWebhook) { w.After = begin })
		r.login("b")
		pass(10 * time.Second)
		for at, node := range r.nodes {
			w := must(node.Webhook("siem"))(t)
			lag := must(node.Lag(context.Background(), "siem"))(t)
			if w.Attempts != 2 || w.Error != "status 429" || w.Failing.IsZero() || !w.RetryAt.After(time.Now()) || lag.Events < 3 || lag.Behind < 5*time.Second {
				t.Errorf("%s says: %+v, lag %+v", at, w, lag)
			}
		}
		pass(time.Minute)
		all, _ := h.hits("/siem")
		for i, a := range answers {
			if wait := all[i+1].at.Sub(all[i].at); wait < a.least || wait > 2*a.least+time.Second || all[i].id != all[0].id {
				t.Errorf("attempt %d came %v after that with %d, of event %s", i+1, wait, a.status, all[i].id)
			}
		}
		if again := r.inOrder(h, "siem", EventQuery{After: begin}); again > 0 {
			t.Errorf("%d came again", again)
		}
		if other, _ := h.hits("/elsewhere"); len(other) > 0 {
			t.Error("a redirect was followed")
		}
		if w := must(r.nodes["c"].Webhook("siem"))(t); w.Attempts != 0 || !w.Failing.IsZero() || !w.RetryAt.IsZero() {
			t.Errorf("afterwards: %+v", w)
		}
	})
}

// After too long a time of failures a webhook is paused, with an event that says why; it goes on where it stopped. So it is at once
// when the target says that it wants no more.
func TestWebhookPausesItself(t *testing.T) {
	soon := func(c *Config) { c.Limits.Webhooks.GiveUp, c.Lease = 2*time.Minute, 30*time.Second }
	withTarget(t, "a b", soon, func(t *testing.T, r *rig, h *hookTarget) {
		ctx, o := context.Background(), Origin{Actor: "local"}
		h.answers(status(500))
		begin := r.hook(h, "siem")
		r.login("a")
		for _, c := range []struct {
			status      int
			cause, text string
		}{{500, "failing", "at last: status 500"}, {410, "gone", "status 410"}} {
			h.answers(status(c.status))
			pass(6 * time.Minute)
			before, _ := h.hits("/siem")
			for at, n := range r.nodes {
				w := must(n.Webhook("siem"))(t)
				if w.Paused != c.cause || !strings.Contains(w.PausedText, c.text) || w.Delivering != "" {
					t.Errorf("%s says: %+v", at, w)
				}
			}
			told := page(t, r.nodes["b"], EventQuery{Types: []string{"webhook.paused"}}, 100)
			if last := told.got[len(told.got)-1]; last.Actor != "system" || last.Void != "" {
				t.Errorf("the log says %+v", last)
			}
			pass(10 * time.Minute)
			if after, _ := h.hits("/siem"); len(after) != len(before) {
				t.Errorf("%d attempts while it is paused", len(after)-len(before))
			}
			must0(t, r.nodes["b"].ResumeWebhook(ctx, "siem", o))
			must0(t, r.nodes["b"].ResumeWebhook(ctx, "siem", o)) // void, and no error
		}
		h.answers(nil)
		must0(t, r.nodes["b"].ResumeWebhook(ctx, "siem", o))
		pass(6 * time.Minute) // the longest that is waited for
		if w := must(r.nodes["a"].Webhook("siem"))(t); w.Paused == "gone" {
			must0(t, r.nodes["b"].ResumeWebhook(ctx, "siem", o))
			pass(time.Minute)
		}
		r.inOrder(h, "siem", EventQuery{After: begin})
	})
}

// A webhook can be sent back, also to the beginning, and forward; what comes again has the ids that it had.
func TestWebhookReplay(t *testing.T) {
	withTarget(t, "a b c", nil, func(t *testing.T, r *rig, h *hookTarget) {
		ctx, o := context.Background(), Origin{Actor: "local"}
		r.hook(h, "siem", func(w *NewWebhook) { w.After = 0 })
		for range 5 {
			r.login("c")
		}
		pass(2 * time.Second)
		_, first := h.hits("/siem")
		must0(t, r.nodes["c"].SetWebhookCursor(ctx, "siem", 0, o))
		pass(2 * time.Second)
		r.inOrder(h, "siem", EventQuery{})
		_, both := h.hits("/siem")
		for i, g := range first {
			if again := both[len(first)+i]; again.id != g.id || again.body != g.body {
				t.Errorf("%s came again as %s", g.body, again.body)
			}
		}
		if err := r.nodes["b"].SetWebhookCursor(ctx, "siem", 1<<40, o); !errors.Is(err, ErrBadRequest) {
			t.Errorf("a position that the log has not reached: %v", err)
		}
		end := r.nodes["b"].hot.applied.Load()
		must0(t, r.nodes["b"].PauseWebhook(ctx, "siem", o))
		r.login("c")
		to := r.nodes["c"].hot.applied.Load()
		must0(t, r.nodes["b"].SetWebhookCursor(ctx, "siem", to, o))
		must0(t, r.nodes["b"].ResumeWebhook(ctx, "siem", o))
		pass(2 * time.Second)
		_, all := h.hits("/siem")
		for _, g := range all[len(both):] {
			if seq := must(parseSeq(g.Sequence))(t); seq > end && seq <= to {
				t.Errorf("what was left out came: %s", g.body)
			}
		}
		// What the log has no more is said, and never left out in silence.
		must0(t, r.nodes["b"].PauseWebhook(ctx, "siem", o))
		r.login("a")
		pass(time.Second)
		r.log.Trim(r.nodes["b"].hot.applied.Load())
		must0(t, r.nodes["a"].ResumeWebhook(ctx, "siem", o))
		pass(5 * time.Second)
		w := must(r.nodes["c"].Webhook("siem"))(t)
		if lag := must(r.nodes["c"].Lag(ctx, "siem"))(t); w.Paused != "trimmed" || !strings.Contains(w.PausedText, "begins at") || !lag.Trimmed {
			t.Errorf("after the log was trimmed: %+v, lag %+v", w, lag)
		}
		must0(t, r.nodes["a"].SetWebhookCursor(ctx, "siem", 0, o))
		must0(t, r.nodes["a"].ResumeWebhook(ctx, "siem", o))
		pass(5 * time.Second)
		if w := must(r.nodes["c"].Webhook("siem"))(t); w.Paused != "" {
			t.Errorf("from the beginning: %+v", w)
		}
	})
}

// While the old secret is good, deliveries carry a signature by each.
func TestWebhookSecretRotates(t *testing.T) {
	withTarget(t, "a b", nil, func(t *testing.T, r *rig, h *hookTarget) {
		ctx, o := context.Background(), Origin{Actor: "local"}
		r.hook(h, "siem")
		want := func(signed int) {
			t.Helper()
			r.login("b")
			pass(2 * time.Second)
			_, taken := h.hits("/siem")
			if got := taken[len(taken)-1].signed; got != signed {
				t.Errorf("%d signatures, want %d", got, signed)
			}
		}
		want(1)
		second := must(r.nodes["b"].RotateWebhookSecret(ctx, "siem", "", time.Minute, o))(t)
		want(2) // the target checks by the first secret
		h.mu.Lock()
		first := h.secret["/siem"]
		h.secret["/siem"] = second
		h.mu.Unlock()
		want(2)
		if w := must(r.nodes["a"].Webhook("siem"))(t); w.OldSecret.IsZero() || first == second {
			t.Errorf("%+v", w)
		}
		pass(time.Minute)
		want(1)
		for _, m := range r.log.Messages() {
			secret := slices.ContainsFunc([]string{first[6:], second[6:], "in-the-address"}, func(s string) bool { return strings.Contains(string(m.Data), s) })
			if secret && events.AccessTo(m.Subject) != events.Secret {
				t.Errorf("on %s: %s", m.Subject, m.Data)
			}
		}
	})
}

// A test is sent also while the webhook is paused, and is in no log.
func TestWebhookTest(t *testing.T) {
	withTarget(t, "a b", nil, func(t *testing.T, r *rig, h *hookTarget) {
		ctx, o := context.Background(), Origin{Actor: "local"}
		r.hook(h, "siem", func(w *NewWebhook) { w.Paused = true })
		if got, err := r.nodes["b"].TestWebhook(ctx, "siem", o); err != nil || got.Error != "" || got.Status != 204 {
			t.Errorf("%+v, %v", got, err)
		}
		h.answers(status(503))
		if got, err := r.nodes["b"].TestWebhook(ctx, "siem", o); err != nil || got.Error != "status 503" || got.Status != 503 {
			t.Errorf("%+v, %v", got, err)
		}
		all, _ := h.hits("/siem")
		if len(all) != 2 || all[0].Type != "knell.webhook.test" {
			t.Errorf("%+v", all)
		}
		for _, m := range r.log.Messages() {
			if text := string(m.Data); strings.Contains(text, "webhook.test") || strings.Contains(text, "webhook_progress") {
				t.Errorf("in the log: %s", text)
			}
		}
		if _, err := r.nodes["b"].TestWebhook(ctx, "nobody", o); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	})
}

// What cannot be a webhook.
func TestWebhookRefused(t *testing.T) {
	withTarget(t, "a", nil, func(t *testing.T, r *rig, h *hookTarget) {
		ctx, o := context.Background(), Origin{Actor: "local"}
		r.hook(h, "siem")
		for what, edit := range map[string]func(*NewWebhook){
			"no name":              func(w *NewWebhook) { w.Name = "" },
			"a path as its name":   func(w *NewWebhook) { w.Name = "a/b" },
			"plain http":           func(w *NewWebhook) { w.Private = false },
			"a loopback address":   func(w *NewWebhook) { w.URL = "https://127.0.0.1/" },
			"a type that is none":  func(w *NewWebhook) { w.Filter.Types = []string{"revoked", "node"} },
			"a short secret":       func(w *NewWebhook) { w.Secret = "whsec_c2hvcnQ=" },
			"a position to come":   func(w *NewWebhook) { w.After = 1 << 40 },
			"a long description":   func(w *NewWebhook) { w.Description = strings.Repeat("x", 257) },
			"a description of two": func(w *NewWebhook) { w.Description = "a\nb" },
		} {
			nw := NewWebhook{Name: "other", URL: "http://target.test/", Private: true, After: EventsFromNow}
			edit(&nw)
			if _, err := r.nodes["a"].CreateWebhook(ctx, nw, o); !errors.Is(err, ErrBadRequest) || strings.Contains(err.Error(), "c2hvcnQ") {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := r.nodes["a"].CreateWebhook(ctx, NewWebhook{Name: "siem", URL: "https://target.test/"}, o); !errors.Is(err, ErrExists) {
			t.Errorf("twice: %v", err)
		}
		bad := "https://user:pw@target.test/"
		if err := r.nodes["a"].ChangeWebhook(ctx, "siem", WebhookChange{URL: &bad}, o); !errors.Is(err, ErrBadRequest) || strings.Contains(err.Error(), "pw") {
			t.Errorf("changed: %v", err)
		}
		for i := range maxWebhooks - 1 {
			r.hook(h, "n"+strconv.Itoa(i), func(w *NewWebhook) { w.Paused = true })
		}
		if _, err := r.nodes["a"].CreateWebhook(ctx, NewWebhook{Name: "more", URL: "https://target.test/"}, o); !errors.Is(err, ErrBadRequest) {
			t.Errorf("one too many: %v", err)
		}
	})
}
