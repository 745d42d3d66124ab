package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
	"github.com/knell-auth/knell/internal/fence"
	"github.com/knell-auth/knell/internal/token"
)

// forge appends an event in the name of a replica, as somebody could who has got at the log.
func (r *rig) forge(name string, d events.Payload) {
	r.t.Helper()
	e := r.nodes["b"].newEvent(d, name, Origin{Actor: "system"})
	e.Node = name
	r.put(e)
}

func (r *rig) put(e *events.Event) {
	r.t.Helper()
	if _, err := r.links["b"].Append(context.Background(), e); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// eachUnsigned runs f with replicas a, b and c, with and without the mutation.
func eachUnsigned(t *testing.T, f func(t *testing.T, r *rig, broken bool)) {
	for name, broken := range map[string]fence.Mutation{"checked": 0, "unchecked": fence.Unsigned} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.edit = func(c *Config) { c.Break = broken }
				for _, name := range []string{"a", "b", "c"} {
					r.start(name)
				}
				r.user("alice", alicePassword)
				time.Sleep(5 * time.Second) // all of them sign
				f(t, r, broken != 0)
			})
		})
	}
}

// TestForgedEvent: a replica that finds an event in its name that it did not append fences itself. The others make the same of the
// event, and go on.
func TestForgedEvent(t *testing.T) {
	eachUnsigned(t, func(t *testing.T, r *rig, broken bool) {
		tok := r.login("a")
		who := must(r.nodes["a"].Verify(context.Background(), tok.AccessToken))(t)
		r.forge("a", &events.SessionRevoked{Session: who.Session()})
		a := r.nodes["a"]
		if fenced := a.fatalCause() != nil; fenced == broken || fenced && !errors.Is(a.fatalCause(), errForged) {
			t.Errorf("fenced: %v", a.fatalCause())
		}
		delete(r.nodes, "a")
		r.refused(tok, ErrRevoked)
		a.Close(context.Background())
		time.Sleep(10 * time.Second)
		r.start("a")
		r.accepted(r.login("a"))
		r.same()
	})
}

// TestForgedMeanwhile: a replica that reads in the log what was appended in its name while it was away says so.
func TestForgedMeanwhile(t *testing.T) {
	eachUnsigned(t, func(t *testing.T, r *rig, broken bool) {
		r.kill("a")
		r.forge("a", &events.LoginFailed{Cause: "password"})
		var out strings.Builder
		r.out = &out
		r.start("a")
		if said := strings.Contains(out.String(), errForged.Error()); said == broken {
			t.Errorf("said at the next start: %v", said)
		}
		r.accepted(r.login("a"))
	})
}

// barrierWithoutC returns how long a logout takes while c hears nothing and somebody forges an event; an hour if it fails.
func (r *rig) barrierWithoutC(forge func(c *Node)) time.Duration {
	tok := r.login("a")
	c := r.nodes["c"]
	r.links["c"].Cut()
	began, done := time.Now(), make(chan time.Duration, 1)
	go func() {
		if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
			began = began.Add(-time.Hour)
		}
		done <- time.Since(began)
	}()
	synctest.Wait()
	forge(c)
	took := <-done
	r.links["c"].Heal()
	return took
}

// TestForgedBeat: nobody completes a barrier in the name of a replica that has not applied the revocation.
func TestForgedBeat(t *testing.T) {
	eachUnsigned(t, func(t *testing.T, r *rig, broken bool) {
		took := r.barrierWithoutC(func(c *Node) {
			r.forge("c", &events.NodeBeat{Pings: []events.Ping{{Node: "c", Incarnation: c.life.inc, Counter: 1 << 40, Applied: 1 << 40, LeaseMillis: 3000}}})
		})
		if early := took < time.Second; early != broken {
			t.Errorf("the logout took %v", took)
		}
	})
}

// TestForgedEnd: nor does whoever says that the replica has left, or that another life has replaced it, in whatever name.
func TestForgedEnd(t *testing.T) {
	for what, d := range map[string]func(inc events.ID) events.Payload{
		"left": func(inc events.ID) events.Payload { return &events.NodeLeft{Incarnation: inc} },
		"replaced": func(inc events.ID) events.Payload {
			return &events.NodeJoined{Incarnation: events.NewID(), Replaces: inc, Level: events.Level}
		},
	} {
		t.Run(what, func(t *testing.T) {
			eachUnsigned(t, func(t *testing.T, r *rig, broken bool) {
				took := r.barrierWithoutC(func(c *Node) { r.forge("z", d(c.life.inc)) })
				if early := took < time.Second; early != broken {
					t.Errorf("the logout took %v", took)
				}
			})
		})
	}
}

// TestForgedEndIsRead: nor does a replica believe it that only reads it when it starts, while the other one goes on.
func TestForgedEndIsRead(t *testing.T) {
	eachUnsigned(t, func(t *testing.T, r *rig, broken bool) {
		r.forge("z", &events.NodeLeft{Incarnation: r.nodes["c"].life.inc})
		r.kill("a")
		r.start("a")
		time.Sleep(5 * time.Second)
		if took := r.barrierWithoutC(func(*Node) {}); took < time.Second != broken {
			t.Errorf("the logout took %v", took)
		}
	})
}

// TestForgedKey: nor does the key of somebody else prove anything, whenever it comes.
func TestForgedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for _, name := range []string{"a", "b", "c"} {
			r.start(name)
		}
		r.user("alice", alicePassword)
		own := must(token.NewPrivate(token.EdDSA))(t)
		access, mine := must(token.NewSigner(token.EdDSA, own))(t), token.NewRefreshSigner(newKey())
		r.forge("z", &events.NodeKey{Key: access.KeyID(), Alg: token.EdDSA, Public: access.Key().Public(), RefreshPublic: mine.Public(), Incarnation: events.NewID()})
		ping := func(c *Node) {
			p := events.Ping{Node: "c", Incarnation: c.life.inc, Counter: 1 << 40, Applied: 1 << 40, LeaseMillis: 3000}
			p.Signature = mine.Vouch(beatDomain, beatStatement(c.epoch(), &p))
			r.forge("z", &events.NodeJoined{Incarnation: c.life.inc, Level: events.Level})
			r.forge("z", &events.NodeBeat{Pings: []events.Ping{p}})
		}
		r.links["c"].Cut()
		time.Sleep(20 * time.Second) // c is forgotten
		ping(r.nodes["c"])
		r.links["c"].Heal()
		time.Sleep(5 * time.Second)
		if took := r.barrierWithoutC(ping); took < time.Second {
			t.Errorf("the logout took %v", took)
		}
		time.Sleep(5 * time.Second)
		r.accepted(r.login("c"))
		r.same()
	})
}

// TestForgedJoin: nor does who joins under its life once that is forgotten, or brings the log's time or many beats along; and who joins under
// this replica's own life changes nothing here.
func TestForgedJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for _, name := range []string{"a", "b", "c"} {
			r.start(name)
		}
		r.user("alice", alicePassword)
		own := must(token.NewPrivate(token.EdDSA))(t)
		access, mine := must(token.NewSigner(token.EdDSA, own))(t), token.NewRefreshSigner(newKey())
		r.forge("z", &events.NodeKey{Key: access.KeyID(), Alg: token.EdDSA, Public: access.Key().Public(), RefreshPublic: mine.Public(), Incarnation: events.NewID()})
		time.Sleep(5 * time.Second)
		took := r.barrierWithoutC(func(c *Node) {
			a := r.nodes["a"]
			r.forge("z", &events.NodeLeft{Incarnation: c.life.inc})
			z := events.NewID()
			d := &events.NodeBeat{}
			for i := range uint64(40) {
				d.Pings = append(d.Pings, events.Ping{Node: "z", Incarnation: z, Counter: i, Level: events.Level, LeaseMillis: 3000})
			}
			for range 100 {
				r.forge("z", d)
			}
			late := r.nodes["b"].newEvent(d, "z", Origin{Actor: "system"})
			late.Node, late.Time = "z", late.Time.Add(time.Hour)
			r.put(late)
			r.forge("z", &events.NodeJoined{Incarnation: events.NewID(), Level: events.Level})
			r.forge("z", &events.NodeJoined{Incarnation: a.life.inc, Level: events.Level})
			r.forge("z", &events.NodeJoined{Incarnation: c.life.inc, Level: events.Level})
			r.forge("z", &events.NodeLeft{Incarnation: c.life.inc, Signature: mine.Vouch(goneDomain, goneStatement(a.epoch(), c.life.inc))})
		})
		if took < time.Second || took >= time.Hour {
			t.Errorf("the logout took %v", took)
		}
		for name, n := range r.nodes {
			if err := n.fatalCause(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestForgedLease: a beat that another replica appended brings no lease, however late it comes: the others reckon it from when they read it.
func TestForgedLease(t *testing.T) {
	eachUnsigned(t, func(t *testing.T, r *rig, broken bool) {
		c := r.nodes["c"]
		c.keeping.mu.Lock()
		counter := c.keeping.counter
		c.keeping.mu.Unlock()
		d, lease := &events.NodeBeat{}, c.cfg.Lease
		for i := range uint64(30) {
			d.Pings = append(d.Pings, events.Ping{Node: "c", Incarnation: c.life.inc, Counter: counter + i, LeaseMillis: 5000})
		}
		r.links["c"].OnAppend(func(*events.Event) eventstest.Fault { return eventstest.Fault{Before: errors.New("lost")} })
		r.links["c"].SetDelays(eventstest.Delays{Deliver: 3 * lease / 5})
		r.forge("z", d)
		time.Sleep(6 * lease / 5)
		if valid := c.hot.lease.Load().Valid(c.clock.read()); valid != broken {
			t.Errorf("it holds a lease: %v", valid)
		}
	})
}

// TestForgedRestore: nobody ends all barriers at once by writing that the log was made from a backup.
func TestForgedRestore(t *testing.T) {
	eachUnsigned(t, func(t *testing.T, r *rig, broken bool) {
		a := r.nodes["a"]
		took := r.barrierWithoutC(func(*Node) {
			stat := must(r.links["b"].Stat(t.Context()))(t)
			e := r.nodes["b"].newEvent(&events.Restored{Before: a.epoch(), Last: stat.Last}, "", Origin{Actor: "system"})
			e.Node, e.Epoch = "z", events.NewID()
			r.put(e)
		})
		if fenced := a.fatalCause() != nil; fenced == broken || !broken && took < time.Second {
			t.Errorf("the logout took %v; fenced: %v", took, a.fatalCause())
		}
		for name := range r.nodes {
			r.nodes[name].Close(context.Background())
			delete(r.nodes, name)
		}
	})
}

// TestOtherAlgorithm: nobody is accused because a replica that was killed comes back with keys of another algorithm, or under another name.
func TestOtherAlgorithm(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"algorithm": func(c *Config) { c.Alg = token.ES256 },
		"name":      func(c *Config) { c.Name = "renamed" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				var out lockedText
				r.out = &out
				for _, name := range []string{"a", "b", "c"} {
					r.start(name)
				}
				r.user("alice", alicePassword)
				tok := r.login("c")
				r.kill("c")
				r.edit = edit
				r.start("c")
				r.edit = nil
				began := time.Now()
				if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil || time.Since(began) > time.Second {
					t.Errorf("the logout took %v: %v", time.Since(began), err)
				}
				r.accepted(r.login("c"))
				time.Sleep(time.Minute)
				if said := out.take(); strings.Contains(said, "signed") {
					t.Error(said)
				}
			})
		})
	}
}

// TestSignedEnd: a replica that leaves, or starts again at once, holds up no logout: its word is signed.
func TestSignedEnd(t *testing.T) {
	eachUnsigned(t, func(t *testing.T, r *rig, _ bool) {
		tok := r.login("a")
		r.kill("c")
		r.start("c")
		began := time.Now()
		if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil || time.Since(began) > time.Second {
			t.Errorf("after a restart the logout took %v: %v", time.Since(began), err)
		}
		time.Sleep(5 * time.Second)
		tok = r.login("a")
		c := r.nodes["c"]
		delete(r.nodes, "c")
		c.Close(context.Background())
		began = time.Now()
		if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil || time.Since(began) > time.Second {
			t.Errorf("after a leave the logout took %v: %v", time.Since(began), err)
		}
	})
}
