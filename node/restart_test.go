package node

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
)

// Everything that was acknowledged is there after all replicas were killed, and what was revoked stays revoked.
func TestAllReplicasRestart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		good, gone := r.login("a"), r.login("b")
		next, err := r.nodes["c"].Refresh(ctx, RefreshRequest{Token: good.RefreshToken})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.nodes["c"].Logout(ctx, gone.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b", "c"} {
			r.kill(name)
		}
		for _, name := range []string{"a", "b", "c"} {
			r.start(name)
		}
		r.accepted(good)
		r.accepted(next)
		r.refused(gone, ErrRevoked)
		r.same()
		if _, err := r.nodes["b"].Refresh(ctx, RefreshRequest{Token: next.RefreshToken}); err != nil {
			t.Error(err)
		}
	})
}

// A replica that joins with an empty directory has new keys; its tokens are good everywhere at once.
func TestJoinWithEmptyDirectory(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok := r.login("c")
		r.kill("c")
		r.dirs["c"] = ""
		r.start("c")
		r.accepted(tok)
		r.accepted(r.login("c"))
		r.same()
	})
}

// A log that does not lead through what this replica has applied is not its log.
func TestAnotherLogIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.login("a")
		time.Sleep(10 * time.Second)
		if err := r.nodes["c"].Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		delete(r.nodes, "c")
		other := newRig(t)
		other.start("x")
		other.dirs["c"] = r.dirs["c"]
		_, err := Start(context.Background(), other.config("c"))
		if !errors.Is(err, events.ErrRewound) {
			t.Errorf("got %v, want ErrRewound", err)
		}
		r.start("c")
	})
}

// A copy of a directory does not prove that the original's life is over.
func TestCopiedDirectoryReplacesNobody(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	lock := must(lockDir(dir))(t)
	defer lock.Close()
	id := must(loadIdentity(dir, "EdDSA"))(t)
	id.Incarnation, id.Lock = events.NewID().String(), inode(lock)
	if id.previous(lock).IsZero() {
		t.Error("the life before in the same directory is not named")
	}
	copied := must(lockDir(other))(t)
	defer copied.Close()
	if prev := id.previous(copied); !prev.IsZero() {
		t.Errorf("a copy replaces %v", prev)
	}
}

func TestDamagedDirectory(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if err := r.nodes["c"].Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		delete(r.nodes, "c")
		path := filepath.Join(r.dirs["c"], identityFile)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{
			"empty": nil, "cut": whole[:len(whole)/2], "garbage": bytes.Repeat([]byte{7}, 100), "format": []byte(`{"format":9}`),
			"no keys": []byte(`{"format":1}`),
		} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Start(context.Background(), r.config("c")); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v, want an error that names the file", name, err)
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		r.start("c")
		if _, err := Start(context.Background(), r.config("c")); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("the same directory twice: %v", err)
		}
	})
}

// When the author of a secret change dies before its public record, another replica writes it, once.
func TestOrphanedRecordIsSettled(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a := r.nodes["a"]
		d := &events.SecretUser{User: events.NewID(), Name: "bob", Hash: "x"}
		if _, err := a.commit(context.Background(), a.newEvent(d, d.User.String(), Origin{Actor: "root"}), plain); err != nil {
			t.Fatal(err)
		}
		r.kill("a")
		time.Sleep(15 * time.Second)
		for name, n := range r.nodes {
			n.mu.RLock()
			owed := len(n.state.records)
			n.mu.RUnlock()
			if owed != 0 {
				t.Errorf("%s: %d records owed", name, owed)
			}
		}
		r.same()
	})
}

// A replica whose state differs fences itself, and the others go on.
func TestDivergedReplicaFencesItself(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.nodes["c"]
		c.mu.Lock()
		c.state.digest[0] ^= 1
		c.mu.Unlock()
		time.Sleep(5 * time.Second)
		select {
		case <-c.Fenced():
		default:
			t.Error("c goes on with another state")
		}
		if s := c.Status(); s.Fenced == "" || s.Ready {
			t.Errorf("%+v", s)
		}
		c.stop()
		delete(r.nodes, "c")
		r.accepted(r.login("a"))
	})
}

// What a replica cannot read it does not skip.
func TestUnknownEventFences(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.nodes["c"]
		err := c.deliver([]events.Message{{Seq: c.hot.applied.Load() + 1, Subject: "knell.secret.log", Data: []byte(`{"specversion":"1.0"}`)}})
		if !errors.Is(err, events.ErrMalformed) {
			t.Errorf("got %v", err)
		}
		if err := c.deliver([]events.Message{{Seq: c.hot.applied.Load() + 2}}); err == nil {
			t.Error("a message out of order was applied")
		}
	})
}

// No password, token or hash is in anything that a consumer or an operator can read.
func TestNoSecretLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var logs bytes.Buffer
		r.out = &logs
		r.start("a")
		const secret = "marked-secret-8c1f"
		ctx := context.Background()
		a := r.nodes["a"]
		u := r.user("alice", secret)
		tok, err := a.Login(ctx, LoginRequest{Name: "alice", Password: secret})
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		note := func(err error) { texts = append(texts, errorText(err)) }
		_, err = a.Login(ctx, LoginRequest{Name: secret, Password: secret})
		note(err)
		_, err = a.Verify(ctx, tok.AccessToken+"x")
		note(err)
		_, err = a.Refresh(ctx, RefreshRequest{Token: tok.RefreshToken + "x"})
		note(err)
		note(a.CreateClient(ctx, NewClient{ID: "svc", Secret: secret + "-client"}, Origin{}))
		note(authenticate(ctx, a, "svc", secret, Origin{}))
		next, err := a.Refresh(ctx, RefreshRequest{Token: tok.RefreshToken})
		note(err)
		note(a.SetPassword(ctx, u.ID, secret+"-2", Origin{}))
		note(a.Logout(ctx, next.AccessToken, Origin{}))
		synctest.Wait()
		a.mu.RLock()
		hash := a.state.names["alice"].hash
		a.mu.RUnlock()
		for _, m := range r.log.Messages() {
			if !strings.HasPrefix(m.Subject, "knell.secret.") {
				texts = append(texts, string(m.Data))
			}
		}
		texts = append(texts, logs.String())
		for _, text := range texts {
			for _, s := range []string{secret, hash, "argon2", tok.AccessToken, tok.RefreshToken, next.AccessToken, next.RefreshToken} {
				if strings.Contains(text, s) {
					t.Errorf("%q is in %q", s, text)
				}
			}
		}
	})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// The younger of two replicas that cannot live together ends, and says why; the older ones go on.
func TestConflictingReplicaEnds(t *testing.T) {
	for what, edit := range map[string]func(*Config){
		"another replica named b": func(c *Config) { c.Name = "b" },
		"has issuer":              func(c *Config) { c.Issuer = "https://other.test" },
		"audience":                func(c *Config) { c.Audience = "other" },
	} {
		bubble(t, func(t *testing.T, r *rig) {
			r.edit = edit
			cfg := r.config("d")
			cfg.Log = r.log.Node("d") // the twin has a connection of its own
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			n, err := Start(ctx, cfg)
			if err == nil {
				n.stop() // it served: it refused good tokens of the others, or gave out tokens that they refuse
			}
			if err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("got %v, want %q", err, what)
			}
			tok, began := r.login("a"), time.Now()
			if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil || time.Since(began) > time.Second {
				t.Errorf("a logout waits for it: %v, %v", time.Since(began), err)
			}
			time.Sleep(10 * time.Second)
			r.accepted(r.login("a"))
			r.same()
		})
	}
}

// A life that ended without a word is waited for once, and not again by each replica that starts.
func TestTheDeadAreNotWaitedForAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.kill("c")
		time.Sleep(10 * time.Minute)
		r.kill("a")
		r.start("a")
		tok, began := r.login("a"), time.Now()
		if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil || time.Since(began) > time.Second {
			t.Errorf("the first logout after a start took %v: %v", time.Since(began), err)
		}
		r.start("c")
		r.accepted(r.login("c"))
		r.same()
	})
}

// Replicas that are gone keep nobody from another issuer: the first one waits until their leases have ended.
func TestIssuerChangesWhenAllAreGone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for _, name := range []string{"a", "b", "c"} {
			r.kill(name)
		}
		r.edit = func(c *Config) { c.Issuer = "https://other.test" }
		began := time.Now()
		r.start("a")
		if took := time.Since(began); took < 3*time.Second || took > 5*time.Second {
			t.Errorf("it serves after %v, want the length of a lease and a tenth", took)
		}
		r.start("b")
		r.accepted(r.login("a"))
	})
}
