package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
	"unique"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/natsd"
)

// manySessions is how many live sessions the benchmarks of snapshots have: as many as design.md promises a start for.
const manySessions = 1_000_000

// crowded returns a state with so many live sessions, of half as many users; one in four was refreshed, one in ten was
// started through a client. Its last message is that of a log.
func crowded(b *testing.B, sessions int, last *events.Event, seq uint64) *state {
	b.Helper()
	const hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA"
	r := rand.New(rand.NewPCG(1, 2))
	s := newState()
	s.epoch, s.hashKey, s.logTime = last.Epoch, make([]byte, 32), time.Now().UnixNano()
	s.swept = s.logTime / 60e9
	c := &client{id: "shop", hash: hash, scope: []string{"profile", "orders:read"}}
	s.clients[c.id] = c
	users := make([]*user, sessions/2)
	for i := range users {
		u := &user{id: events.NewID(), name: fmt.Sprintf("user-%07d", i), email: fmt.Sprintf("user-%07d@example.com", i), hash: hash,
			roles: []string{"reader"}, scope: []string{"profile", "notes"}, seq: uint64(i) + 2, credSeq: uint64(i) + 2, flag: s.newFlag(true)}
		u.networks[0] = 1<<32 | uint64(r.Uint32())
		users[i], s.users[u.id], s.names[u.name] = u, u, u
	}
	now := s.logTime / 1e9
	at := uint64(len(users)) + 10
	for i := range sessions {
		at += 1 + r.Uint64N(4)
		started := now - 86400 + int64(i)*86400/int64(sessions)
		ses := &session{id: events.NewID(), user: users[r.IntN(len(users))], scope: unique.Make("profile notes"), start: at, seq: at, issuedAt: started,
			accessExpires: started + 300, lastExpires: started + 300, idleExpires: now + 86400, expires: started + 30*86400, authTime: started}
		if i%10 == 0 {
			ses.client = c
		}
		if i%4 == 0 {
			ses.seq, ses.generation, ses.issuedAt, ses.pace = at+r.Uint64N(1<<20), 1+r.Uint32N(200), now-r.Int64N(86400), now*refreshRate
		}
		ses.device = device{started: started, agent: unique.Make(fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64) Example/%d.0", r.IntN(2000)))}
		ses.device.address = [16]byte{10: 0xff, 11: 0xff, 12: 10, 13: byte(r.IntN(256)), 14: byte(r.IntN(256)), 15: 1}
		ses.link()
		s.begin(ses)
		s.touched = s.touched[:0]
	}
	for range sessions / 100 { // what of the last minutes is remembered
		s.seen.add(events.NewID(), s.logTime)
		s.revoked.Insert(events.NewID(), at, now+300)
	}
	s.seen.add(last.ID, s.logTime)
	s.seq = seq
	return s
}

// BenchmarkSnapshot is what a snapshot of a million sessions takes: bytes, the time to write it, and the time to read it.
func BenchmarkSnapshot(b *testing.B) {
	last := &events.Event{ID: events.NewID(), Epoch: events.NewID()}
	s := crowded(b, manySessions, last, 1<<22)
	data, _, err := s.encode()
	if err != nil {
		b.Fatal(err)
	}
	bare := *s
	bare.sessions = nil
	without, _, err := bare.encode()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("write", func(b *testing.B) {
		from := processorTime(b)
		for b.Loop() {
			if _, _, err := s.encode(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric((processorTime(b)-from).Seconds()/float64(b.N), "cpu-s")
		b.ReportMetric(float64(len(data)-len(without))/manySessions, "B/session")
		b.ReportMetric(float64(len(data))/manySessions, "B/session-and-user")
	})
	s = nil
	b.Run("read", func(b *testing.B) {
		before := heapInUse()
		var s *state
		from := processorTime(b)
		for b.Loop() {
			if s, _, err = decode(data); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric((processorTime(b)-from).Seconds()/float64(b.N), "cpu-s")
		b.ReportMetric(float64(heapInUse()-before)/manySessions, "heap-B/session-and-user")
		runtime.KeepAlive(s)
	})
}

// processorTime returns what this process has taken of all cores, whatever else the machine is busy with.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkStartFromSnapshot is the start of a replica, until it is ready, with a million live sessions in a snapshot that lies in
// JetStream; and what those who use it notice of a snapshot that it makes: the longest that a verification or a message takes.
func BenchmarkStartFromSnapshot(b *testing.B) {
	ctx := context.Background()
	srv, err := natsd.Start(ctx, natsd.Config{Dir: b.TempDir(), Name: "one", MaxStore: 4 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(srv.Kill)
	nc := must(srv.Connect(ctx))(b)
	b.Cleanup(nc.Close)
	log := must(events.Open(ctx, nc, events.Config{Replicas: 1, MaxBytes: 2 << 30, Node: "one"}))(b)
	last := &events.Event{ID: events.NewID(), Epoch: events.NewID(), Time: time.Now(), Node: "one", Data: &events.LoginFailed{Cause: "bench"}}
	must(log.Append(ctx, &events.Event{ID: events.NewID(), Time: time.Now(), Node: "one", Epoch: last.Epoch, Data: &events.LogStarted{HashKey: newKey()}}))(b)
	seq := must(log.Append(ctx, last))(b)
	data, hash, err := crowded(b, manySessions, last, seq).encode()
	if err != nil {
		b.Fatal(err)
	}
	kept := events.Snapshot{Seq: seq, Epoch: last.Epoch, Format: snapshotFormat, Level: 1, Hash: hash[:]}
	if err := log.PutSnapshot(ctx, kept, data); err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	start := func() *Node {
		n, err := Start(ctx, Config{Name: "one", Dir: dir, Log: log, Issuer: "i", Audience: "a", Password: cheap,
			Retention: Retention{Store: log, Every: 1 << 40}})
		if err != nil {
			b.Fatal(err)
		}
		if len(n.state.sessions) < manySessions {
			b.Fatalf("%d sessions", len(n.state.sessions))
		}
		return n
	}
	b.Run("start", func(b *testing.B) {
		var taken time.Duration
		defer func() { b.ReportMetric(taken.Seconds()/float64(b.N), "cpu-s") }()
		for b.Loop() {
			from := processorTime(b)
			n := start()
			b.StopTimer()
			taken += processorTime(b) - from
			n.Close(ctx)
			runtime.GC()
			b.StartTimer()
		}
	})
	for _, taking := range []bool{false, true} {
		b.Run(fmt.Sprintf("pause/snapshot=%v", taking), func(b *testing.B) {
			n := start()
			defer n.Close(ctx)
			// So that the next one goes on from it: the log before it is not what made this state.
			if err := n.sayChecked(ctx, seq, hash); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				pauses(b, n, taking)
			}
		})
	}
}

// pauses measures how long verifications and messages take, one after the other, for as long as a snapshot takes to be made or, where
// none is, about as long.
func pauses(b *testing.B, n *Node, taking bool) {
	ctx := context.Background()
	if n.state.clients["svc"] == nil {
		benchClient(b, n)
	}
	tok := must(n.ClientToken(ctx, "svc", 0, nil, Origin{}))(b)
	n.mu.RLock()
	seq, digest := n.state.seq, n.state.digest
	n.mu.RUnlock()
	done := make(chan error, 1)
	go func() {
		if !taking {
			<-time.After(6 * time.Second)
			done <- nil
			return
		}
		done <- n.takeSnapshot(ctx, seq, digest)
	}()
	began := time.Now()
	var verify, apply []time.Duration
	stop := make(chan struct{})
	applied := make(chan struct{})
	go func() {
		defer close(applied)
		for {
			select {
			case <-stop:
				return
			default:
			}
			from := time.Now()
			if _, err := n.commit(ctx, n.newEvent(&events.LoginFailed{Cause: "bench"}, "bench", Origin{}), plain); err != nil {
				b.Error(err)
				return
			}
			apply = append(apply, time.Since(from))
		}
	}()
	for ended := false; !ended; {
		from := time.Now()
		if _, err := n.Verify(ctx, tok.AccessToken); err != nil {
			b.Error(err)
		}
		verify = append(verify, time.Since(from))
		select {
		case err := <-done:
			if ended = true; err != nil {
				b.Error(err)
			}
		case <-time.After(20 * time.Microsecond):
		}
	}
	b.ReportMetric(time.Since(began).Seconds(), "s-taken")
	close(stop)
	<-applied
	for what, list := range map[string][]time.Duration{"verify": verify, "commit": apply} {
		slices.Sort(list)
		b.ReportMetric(float64(list[len(list)*999/1000].Microseconds())/1e3, what+"-p999-ms")
		b.ReportMetric(float64(list[len(list)-1].Microseconds())/1e3, what+"-max-ms")
	}
}
