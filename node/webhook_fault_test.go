package node

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
)

// traffic logs users in at replicas that are there, one each 50 ms, for d.
func (r *rig) traffic(d time.Duration) {
	r.t.Helper()
	for i := range int(d / (50 * time.Millisecond)) {
		names := []string{}
		for _, name := range []string{"a", "b", "c"} {
			if r.nodes[name] != nil {
				names = append(names, name)
			}
		}
		r.login(names[i%len(names)])
		time.Sleep(50 * time.Millisecond)
	}
}

// When the replica that delivers dies, another one goes on from what was written down, and a little again.
func TestWebhookDelivererDies(t *testing.T) {
	withTarget(t, "a b c", nil, func(t *testing.T, r *rig, h *hookTarget) {
		begin := r.hook(h, "siem")
		again := 0
		for range 3 {
			r.traffic(3300 * time.Millisecond)
			dead := r.deliverer("siem")
			r.kill(dead)
			r.traffic(5 * time.Second)
			if now := r.deliverer("siem"); now == dead {
				t.Errorf("%s delivers still", now)
			}
			r.start(dead)
		}
		r.traffic(time.Second)
		time.Sleep(3 * time.Second)
		if again = r.inOrder(h, "siem", EventQuery{After: begin}); again > 3*30 { // of at most a second each
			t.Errorf("%d came again", again)
		}
		t.Logf("%d came again", again)
		r.same()
	})
}

// A replica that stops in peace hands its webhooks over at once.
func TestWebhookHandedOver(t *testing.T) {
	withTarget(t, "a b c", nil, func(t *testing.T, r *rig, h *hookTarget) {
		begin := r.hook(h, "siem")
		r.traffic(1500 * time.Millisecond)
		leaving := r.deliverer("siem")
		must0(t, r.nodes[leaving].Close(context.Background()))
		delete(r.nodes, leaving)
		r.traffic(2 * time.Second) // less than a lease
		if now := r.deliverer("siem"); now == leaving {
			t.Errorf("%s delivers still", now)
		}
		time.Sleep(2 * time.Second)
		if again := r.inOrder(h, "siem", EventQuery{After: begin}); again > 1 {
			t.Errorf("%d came again", again)
		}
	})
}

// A replica that is cut off delivers until its lease ends and no longer; another one takes over only then.
func TestWebhookDelivererCutOff(t *testing.T) {
	withTarget(t, "a b c", nil, func(t *testing.T, r *rig, h *hookTarget) {
		begin := r.hook(h, "siem")
		r.traffic(2 * time.Second)
		cut := r.deliverer("siem")
		h.answers(status(500)) // so that it has something to send all the time
		r.login("a")
		time.Sleep(time.Second)
		r.links[cut].Cut()
		lost := time.Now()
		time.Sleep(time.Minute)
		all, _ := h.hits("/siem")
		for _, g := range all {
			if own := g.agent == "knell/"+cut; own && g.at.Sub(lost) > r.nodes[cut].cfg.Lease || !own && g.at.Sub(lost) < r.nodes[cut].cfg.Lease-time.Second {
				t.Errorf("%s sent something %v after %s was cut off", g.agent, g.at.Sub(lost), cut)
			}
		}
		h.answers(nil)
		node := r.nodes[cut]
		delete(r.nodes, cut)
		r.traffic(10 * time.Second)
		r.nodes[cut] = node
		if now := must(r.nodes[r.other(cut)].Webhook("siem"))(t).Delivering; now == cut {
			t.Error("nobody took over")
		}
		r.links[cut].Heal()
		time.Sleep(3 * time.Minute) // more than is waited for after so many failures
		r.inOrder(h, "siem", EventQuery{After: begin})
		r.same()
	})
}

// When a deletion or a pause has returned, no delivery starts, and one that was under way is cut off: also where the replica that delivers
// lags within its lease, and where it is cut off from the others.
func TestWebhookStops(t *testing.T) {
	for what, stop := range map[string]func(*Node) error{
		"paused":  func(n *Node) error { return n.PauseWebhook(context.Background(), "siem", Origin{Actor: "local"}) },
		"deleted": func(n *Node) error { return n.DeleteWebhook(context.Background(), "siem", Origin{Actor: "local"}) },
		"sent elsewhere": func(n *Node) error {
			url := "http://target.test/elsewhere"
			return n.ChangeWebhook(context.Background(), "siem", WebhookChange{URL: &url}, Origin{Actor: "local"})
		},
	} {
		for how, disturb := range map[string]func(*eventstest.Node){
			"undisturbed": func(*eventstest.Node) {},
			"lagging":     func(n *eventstest.Node) { n.SetDelays(eventstest.Delays{Deliver: 700 * time.Millisecond}) },
			"cut off":     func(n *eventstest.Node) { n.Cut() },
		} {
			t.Run(what+" while "+how, func(t *testing.T) {
				withTarget(t, "a b c", nil, func(t *testing.T, r *rig, h *hookTarget) {
					r.hook(h, "siem")
					r.login("a")
					time.Sleep(2 * time.Second)
					at := r.deliverer("siem")
					by := r.nodes[r.other(at)]
					disturb(r.links[at])
					work, end := context.WithCancel(context.Background())
					done := make(chan struct{})
					go func() { // something to send all the time
						defer close(done)
						for work.Err() == nil {
							_, _ = by.Login(work, LoginRequest{Name: "alice", Password: alicePassword})
							time.Sleep(50 * time.Millisecond)
						}
					}()
					time.Sleep(time.Second)
					must0(t, stop(by))
					before, _ := h.hits("/siem")
					time.Sleep(2 * by.cfg.Lease)
					after, _ := h.hits("/siem")
					end()
					<-done
					if len(after) > len(before) || len(before) < 3 {
						t.Errorf("%d attempts when it returned, %d afterwards", len(before), len(after))
					}
					if moved, _ := h.hits("/elsewhere"); (what == "sent elsewhere") != (len(moved) > 0) {
						t.Errorf("%d came elsewhere", len(moved))
					}
					r.links[at].Heal()
				})
			})
		}
	}
}

// A delivery that waits for its answer is cut off before the deletion returns.
func TestWebhookCutsOff(t *testing.T) {
	withTarget(t, "a b c", nil, func(t *testing.T, r *rig, h *hookTarget) {
		h.gate = make(chan struct{})
		r.hook(h, "siem")
		r.login("a")
		time.Sleep(2 * time.Second)
		began := time.Now()
		must0(t, r.nodes["b"].DeleteWebhook(context.Background(), "siem", Origin{Actor: "local"}))
		synctest.Wait()
		if took := time.Since(began); took > time.Second {
			t.Errorf("the deletion waited %v", took)
		}
		for _, n := range r.nodes {
			n.hot.deliveries.mu.Lock()
			if len(n.hot.deliveries.running) > 0 {
				t.Error("a delivery goes on")
			}
			n.hot.deliveries.mu.Unlock()
		}
	})
}

// Two that want a webhook at the same time: the log has one, and it alone delivers. What the other one says counts for nothing.
func TestWebhookHasOneDeliverer(t *testing.T) {
	withTarget(t, "a b c", nil, func(t *testing.T, r *rig, h *hookTarget) {
		ctx := context.Background()
		begin := r.hook(h, "siem")
		at := r.deliverer("siem")
		synctest.Wait() // the others have read of it, too
		other := r.nodes[r.other(at)]
		claim := hookOf(other, "siem").claim
		for _, d := range []events.Payload{
			&events.WebhookClaimed{Webhook: "siem", Incarnation: other.life.inc, Claim: claim - 1},
			&events.WebhookPaused{Webhook: "siem", Cause: "failing", Claim: claim - 1},
			&events.WebhookProgress{Hooks: []events.HookProgress{{Webhook: "siem", Claim: claim - 1, Cursor: claim}}},
			&events.WebhookProgress{Hooks: []events.HookProgress{{Webhook: "siem", Claim: claim, Cursor: 1 << 40}}},
			&events.WebhookProgress{Hooks: []events.HookProgress{{Webhook: "siem", Claim: claim, Cursor: 1}}},
		} {
			if out := must(other.commit(ctx, other.newEvent(d, "siem", Origin{}), plain))(t); out.void != voidChanged {
				t.Errorf("%+v took effect", d)
			}
		}
		if now := r.deliverer("siem"); now != at {
			t.Errorf("%s delivers", now)
		}
		// One that has the last word in the log delivers, and the other one has stopped.
		out := must(other.commit(ctx, other.newEvent(&events.WebhookClaimed{Webhook: "siem", Incarnation: other.life.inc, Claim: claim}, "siem", Origin{}), narrowing))(t)
		r.traffic(2 * time.Second)
		if now := r.deliverer("siem"); out.void != "" || now != other.cfg.Name {
			t.Errorf("%s delivers after the claim of %s (%s)", now, other.cfg.Name, out.void)
		}
		time.Sleep(2 * time.Second)
		r.inOrder(h, "siem", EventQuery{After: begin})
	})
}

// A target that is away for most of a day gets everything when it is back, from the log and not from memory.
func TestWebhookTargetAwayForADay(t *testing.T) {
	long := func(c *Config) { c.Lease, c.Limits.Off = 30*time.Minute, true } // few beats
	withTarget(t, "a", long, func(t *testing.T, r *rig, h *hookTarget) {
		f := &r.nodes["a"].hot.feed
		f.mu.Lock()
		f.limit = 256 // before anybody follows
		f.mu.Unlock()
		begin := r.hook(h, "siem")
		h.answers(status(502))
		for range 23 {
			for range 20 {
				r.login("a")
			}
			time.Sleep(time.Hour)
		}
		w := must(r.nodes["a"].Webhook("siem"))(t)
		if lag := must(r.nodes["a"].Lag(context.Background(), "siem"))(t); lag.Events < 400 || lag.Behind < 22*time.Hour || w.Paused != "" {
			t.Errorf("%+v, lag %+v", w, lag)
		}
		h.answers(nil)
		time.Sleep(10 * time.Minute)
		if again := r.inOrder(h, "siem", EventQuery{After: begin}); again > 0 {
			t.Errorf("%d came again", again)
		}
	})
}

// A name that is told with an event is that at the time of the attempt: it does not outlive its user in what waits to be sent.
func TestWebhookForgetsNames(t *testing.T) {
	withTarget(t, "a b", nil, func(t *testing.T, r *rig, h *hookTarget) {
		ctx := context.Background()
		bob := r.user("bob", "a long enough one")
		h.answers(status(500))
		r.hook(h, "siem")
		_, err := r.nodes["b"].Login(ctx, LoginRequest{Name: "bob", Password: "a long enough one"})
		must0(t, err)
		time.Sleep(time.Minute)
		must0(t, r.nodes["b"].DeleteUser(ctx, bob.ID, Origin{Actor: "local"}))
		deleted := time.Now()
		h.answers(nil)
		time.Sleep(10 * time.Minute)
		_, taken := h.hits("/siem")
		if len(taken) < 3 {
			t.Fatalf("%d came", len(taken))
		}
		for _, g := range taken {
			if g.Username == "bob" && g.at.After(deleted) {
				t.Errorf("sent after the deletion: %s", g.body)
			}
		}
	})
}
