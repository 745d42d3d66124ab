package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/backup"
)

// backup returns a backup that a replica has made, and what is in it.
func (r *rig) backup(at string) ([]byte, BackupInfo) {
	r.t.Helper()
	var file bytes.Buffer
	if err := r.nodes[at].Backup(context.Background(), &file); err != nil {
		r.t.Fatal(err)
	}
	if err := backup.Check(bytes.NewReader(file.Bytes()), int64(file.Len())); err != nil {
		r.t.Fatal(err)
	}
	info := must(CheckBackup(context.Background(), bytes.NewReader(file.Bytes())))(r.t)
	return file.Bytes(), info
}

// restore returns other replicas over a log that is made of a backup, and the event that begins its epoch; nil: the log goes on as it was.
func (r *rig) restore(file []byte, event *events.Event) *rig {
	r.t.Helper()
	ctx := context.Background()
	next := newRig(r.t)
	next.edit = r.edit
	link := next.log.Node("x")
	records := must(backup.NewReader(bytes.NewReader(file)))(r.t)
	next.log.Begin(records.Header().First)
	for {
		rec, err := records.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		switch {
		case err != nil:
		case rec.Kind == backup.Snapshot:
			var s events.Snapshot
			if s, err = SnapshotOf(rec.Data); err == nil {
				err = link.PutSnapshot(ctx, s, rec.Data)
			}
		case rec.Kind == backup.Message:
			next.log.Put(rec.Name, rec.Data)
		case rec.Kind == backup.Tile:
			err = link.PutTile(ctx, rec.Name, rec.Data)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	if event != nil {
		must(link.Append(ctx, event))(r.t)
	}
	for _, name := range []string{"a", "b", "c"} {
		next.start(name)
	}
	return next
}

// What was issued before is refused by a log that was restored, whatever it is: nothing that may have been revoked since comes back. An
// administrator gives new passwords and secrets.
func TestRestore(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		a := r.nodes["a"]
		tok, gone := r.login("a"), r.login("b")
		u := must(a.UserNamed("alice"))(t)
		key, keyText, err := a.CreateAPIKey(ctx, NewAPIKey{User: u.ID, Name: "k", Scope: []string{"notes"}}, Origin{Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		const chosen = "a secret that somebody chose"
		secret := NewClientSecret()
		for id, s := range map[string]string{"svc": secret, "old": chosen, "app": ""} {
			if err := a.CreateClient(ctx, NewClient{ID: id, Secret: s, Scope: []string{"notes"}, Redirects: []string{"https://app.example.com/cb"}}, Origin{}); err != nil {
				t.Fatal(err)
			}
		}
		file, info := r.backup("b")
		if info.Users != 1 || info.Sessions != 2 || info.Clients != 3 || info.APIKeys != 1 || info.Epoch != a.epoch() {
			t.Errorf("in the backup: %+v", info)
		}
		// After the backup.
		if err := a.Logout(ctx, gone.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		before := must(a.Checkpoint(ctx, info.Leaves))(t)

		for _, trusted := range []bool{false, true} {
			event := info.Restored("a", trusted)
			next := r.restore(file, event)
			b := next.nodes["b"]
			next.refused(tok, ErrInvalidToken)
			next.refused(gone, ErrInvalidToken)
			for _, old := range []Tokens{tok, gone} {
				if _, err := b.Refresh(ctx, RefreshRequest{Token: old.RefreshToken}); !errors.Is(err, ErrInvalidGrant) {
					t.Errorf("refresh with a token of before: %v", err)
				}
			}
			if s := b.Status(); s.Epoch != event.Epoch.String() || s.Sessions != 0 {
				t.Errorf("status: %+v", s)
			}
			opens := map[string]error{}
			_, opens["password"] = b.Login(ctx, LoginRequest{Name: "alice", Password: alicePassword})
			_, opens["API key"] = b.Verify(ctx, keyText)
			_, opens["secret"] = b.AuthenticateClient(ctx, "svc", secret, Origin{})
			_, opens["public client"] = b.AuthenticateClient(ctx, "app", "", Origin{})
			_, opens["chosen secret"] = b.AuthenticateClient(ctx, "old", chosen, Origin{})
			for what, err := range opens {
				if refused := errors.Is(err, ErrInvalidGrant) || errors.Is(err, ErrInvalidKey) || errors.Is(err, ErrInvalidClient); refused == trusted || trusted && err != nil {
					t.Errorf("trusted %t: %s: %v", trusted, what, err)
				}
			}
			if !trusted {
				next.renew(u.ID, key.ID)
			}
			next.continues(before)
			next.same()
			// A replica that comes later reads all of it, and one that comes again too.
			next.start("d")
			next.kill("c")
			next.start("c")
			next.sameState()
			for name := range next.nodes {
				next.kill(name)
			}
		}
	})
}

// renew gives what was suspended new secrets, with which it is good again.
func (r *rig) renew(user, key events.ID) {
	r.t.Helper()
	ctx, n := context.Background(), r.nodes["c"]
	if err := n.SetPassword(ctx, user, "another password", Origin{Actor: "local"}); err != nil {
		r.t.Fatal(err)
	}
	tok, err := n.Login(ctx, LoginRequest{Name: "alice", Password: "another password"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.accepted(tok)
	_, text, err := n.RotateAPIKey(ctx, user, key, 0, Origin{Actor: "local"})
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := n.Verify(ctx, text); err != nil {
		r.t.Errorf("a key that was rotated: %v", err)
	}
	if err := n.EnableClient(ctx, "app", Origin{Actor: "local"}); err != nil {
		r.t.Fatal(err)
	}
	if _, err := n.AuthenticateClient(ctx, "app", "", Origin{}); err != nil {
		r.t.Errorf("a public client that was enabled: %v", err)
	}
	for _, client := range []string{"svc", "old"} {
		secret := NewClientSecret()
		if err := n.RotateClientSecret(ctx, client, secret, 0, Origin{Actor: "local"}); err != nil {
			r.t.Fatal(err)
		}
		if _, err := n.AuthenticateClient(ctx, client, secret, Origin{}); err != nil {
			r.t.Errorf("a secret that was replaced: %v", err)
		}
	}
}

// continues fails the test unless the tree of the log begins with that of an earlier checkpoint, under another key.
func (r *rig) continues(before []byte) {
	r.t.Helper()
	old := strings.Split(string(before), "\n")
	var size uint64
	for i := range old[1] {
		size = 10*size + uint64(old[1][i]-'0')
	}
	now := strings.Split(string(must(r.nodes["a"].Checkpoint(context.Background(), size))(r.t)), "\n")
	if now[0] == old[0] || now[1] != old[1] || now[2] != old[2] || strings.Fields(now[4])[2] == strings.Fields(old[4])[2] {
		r.t.Errorf("a checkpoint of as many leaves is\n%q, before\n%q", now, old)
	}
}

// The state after a restore is the fold of the log and the event, also when the log was trimmed and a replica begins with a snapshot; the
// history keeps its sequences.
func TestRestoreTrimmed(t *testing.T) {
	retained(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		for range 400 { // leaves, for some tiles
			r.login("b")
		}
		r.await("trimming", func() bool { return r.first() > tok.Seq })
		last := r.login("c")
		file, info := r.backup("c")
		if info.First <= tok.Seq || info.Snapshots == 0 || info.Tiles == 0 {
			t.Fatalf("in the backup: %+v", info)
		}
		event := info.Restored("a", true)
		next := r.restore(file, event)
		next.refused(last, ErrInvalidToken)
		next.sameState()
		if have := next.log.Messages(); have[0].Seq != info.First || !bytes.Equal(have[last.Seq-info.First].Data, r.log.Messages()[last.Seq-r.first()].Data) {
			t.Errorf("the history begins at %d, not %d, or is another one", have[0].Seq, info.First)
		}
		// What a replica has that read all of it, from the snapshot of the backup on.
		want := must(oldestSnapshot(context.Background(), next.links["a"], 0, info.Last))(t)
		want.leaves.storeNothing()
		for _, m := range next.log.Messages() {
			if m.Seq > want.seq {
				if err := want.foldBatch([]events.Message{m}); err != nil {
					t.Fatal(err)
				}
			}
		}
		next.await("the end", func() bool { return next.nodes["a"].Status().Applied >= want.seq })
		if digest := next.nodes["a"].digestAt(want.seq); digest != want.digest {
			t.Errorf("digest %s, of the fold %s", digest, want.digest)
		}
		// It goes on to make snapshots and to trim.
		next.await("trimming", func() bool { return next.first() > info.Last+1 })
		next.start("d")
		next.sameState()
	})
}

// A log that moves as it is keeps its sessions.
func TestMove(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok, gone := r.login("a"), r.login("b")
		ctx := context.Background()
		if err := r.nodes["c"].Logout(ctx, gone.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		for name, n := range r.nodes {
			if err := n.Close(ctx); err != nil {
				t.Fatal(err)
			}
			delete(r.nodes, name)
		}
		var file bytes.Buffer
		if err := BackupStopped(ctx, r.log.Node("x"), "x", "1", &file); err != nil {
			t.Fatal(err)
		}
		if info := must(CheckBackup(ctx, bytes.NewReader(file.Bytes())))(t); info.Last != r.log.Messages()[len(r.log.Messages())-1].Seq {
			t.Errorf("in the backup: %+v", info)
		}
		next := r.restore(file.Bytes(), nil)
		next.accepted(tok)
		next.refused(gone, ErrRevoked)
		must(next.nodes["b"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken}))(t)
		next.sameState()
	})
}

// A backup is refused whose messages are not those that it was made of.
func TestForgedBackup(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.login("a")
		file, info := r.backup("a")
		for what, change := range map[string]func([]backup.Record) []backup.Record{
			"one is missing":     func(list []backup.Record) []backup.Record { return list[:len(list)-1] },
			"one is there twice": func(list []backup.Record) []backup.Record { return append(list, list[len(list)-1]) },
			"two are swapped": func(list []backup.Record) []backup.Record {
				n := len(list)
				list[n-1], list[n-2] = list[n-2], list[n-1]
				return list
			},
			"no event": func(list []backup.Record) []backup.Record {
				list[len(list)-1].Data = []byte("{}")
				return list
			},
		} {
			if _, err := CheckBackup(context.Background(), bytes.NewReader(rewrite(t, file, change))); !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("%s: %v", what, err)
			}
		}
		same := func(list []backup.Record) []backup.Record { return list }
		if got := must(CheckBackup(context.Background(), bytes.NewReader(rewrite(t, file, same))))(t); got != info {
			t.Errorf("%+v, want %+v", got, info)
		}
		for what, edit := range map[string]func(*backup.Header){
			"another digest": func(h *backup.Header) { h.Digest = h.Root }, "another root": func(h *backup.Header) { h.Root = h.Digest },
			"more leaves": func(h *backup.Header) { h.Leaves++ }, "another end": func(h *backup.Header) { h.Last++ },
		} {
			if _, err := CheckBackup(context.Background(), bytes.NewReader(rewrite(t, file, same, edit))); !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("%s: %v", what, err)
			}
		}
		for cut := range 40 {
			if _, err := CheckBackup(context.Background(), bytes.NewReader(file[:cut*len(file)/41])); !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("cut off at %d of 41 parts: %v", cut, err)
			}
		}
	})
}

// rewrite returns a backup with other records, and another header.
func rewrite(t *testing.T, file []byte, change func([]backup.Record) []backup.Record, edit ...func(*backup.Header)) []byte {
	t.Helper()
	r := must(backup.NewReader(bytes.NewReader(file)))(t)
	var list []backup.Record
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		list = append(list, rec)
	}
	var out bytes.Buffer
	h := r.Header()
	for _, e := range edit {
		e(&h)
	}
	w := must(backup.NewWriter(&out, h))(t)
	for _, rec := range change(slices.Clone(list)) {
		if err := w.Add(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A replica that is not current makes no backup.
func TestBackupNeedsLease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.links["b"].Cut()
		<-time.After(4 * time.Second)
		var file bytes.Buffer
		if err := r.nodes["b"].Backup(context.Background(), &file); !errors.Is(err, ErrNotCurrent) || file.Len() > 0 {
			t.Errorf("%v, %d bytes", err, file.Len())
		}
		r.links["b"].Heal()
	})
}

// What a replica without a copy of the log keeps in its directory is of the epoch before, when the log is restored: it is told to start with
// an empty one, however far it had been, and however the log is read.
func TestDirectoryFromBeforeRestore(t *testing.T) {
	for _, snapshots := range []bool{false, true} {
		run := bubble
		if snapshots {
			run = func(t *testing.T, f func(*testing.T, *rig)) { retained(t, f) }
		}
		run(t, func(t *testing.T, r *rig) {
			leave := func(name string) {
				if err := r.nodes[name].Close(context.Background()); err != nil {
					t.Fatal(err)
				}
				delete(r.nodes, name)
			}
			r.start("early")
			leave("early")
			r.start("late")
			file, info := r.backup("a")
			leave("late")
			ended := r.nodes["a"].hot.applied.Load()
			next := r.restore(file, info.Restored("a", true))
			for _, longer := range []bool{false, true} {
				for _, name := range []string{"early", "early", "late", "late"} { // to be refused once does not help
					next.dirs[name] = r.dirs[name]
					if n, err := Start(context.Background(), next.config(name)); !errors.Is(err, events.ErrRewound) || !strings.Contains(err.Error(), "restored from a backup since") {
						t.Errorf("snapshots %t, log longer %t: %s: %v", snapshots, longer, name, err)
						if err == nil {
							next.nodes[name] = n
						}
					}
				}
				if snapshots {
					next.await("a snapshot", func() bool { return next.verified("a") > info.Last })
				}
				next.await("a log that is longer than it was", func() bool { return next.nodes["a"].hot.applied.Load() > ended })
			}
			next.start("empty")
			next.same()
			for name := range next.nodes {
				next.kill(name)
			}
		})
	}
}
