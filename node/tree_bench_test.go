package node

import (
	"syscall"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
)

// BenchmarkApply is what the apply loop costs for a login, with the tree of the log and without: then the messages are on a subject
// whose messages are no leaves. It counts the time of the processor, not that of the clock.
func BenchmarkApply(b *testing.B) {
	for _, c := range []struct{ name, subject string }{{"tree", "knell.event.session.000"}, {"without", "knell.node.a"}} {
		b.Run(c.name, func(b *testing.B) {
			const logins = 20_000
			batch, log := loginsOf(b, c.subject, logins), eventstest.New(b).Node("replay")
			var used time.Duration
			for b.Loop() {
				n := must(prepare(must(Config{
					Name: "replay", Dir: b.TempDir(), Log: log, Issuer: "i", Audience: "a", Password: cheap,
				}.withDefaults())(b), events.Level))(b)
				n.state.leaves.stored = 1 << 40
				began := processor(b)
				for part := batch; len(part) > 0; part = part[min(len(part), 1000):] {
					if err := n.deliver(part[:min(len(part), 1000)]); err != nil {
						b.Fatal(err)
					}
				}
				used += processor(b) - began
				if len(n.state.sessions) != logins {
					b.Fatalf("%d sessions", len(n.state.sessions))
				}
				n.stop()
			}
			b.ReportMetric(float64(used.Nanoseconds())/float64(b.N)/logins, "cpu-ns/message")
		})
	}
}

// loginsOf returns a log of logins.
func loginsOf(b *testing.B, subject string, count int) []events.Message {
	epoch, user := events.NewID(), events.NewID()
	var list []events.Message
	add := func(d events.Payload) {
		data := must(events.Encode(nil, &events.Event{
			ID: events.NewID(), Time: time.Now(), Subject: user.String(), Epoch: epoch, Node: "author", Actor: user.String(),
			Address: "192.0.2.1", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)", Data: d,
		}))(b)
		list = append(list, events.Message{Seq: uint64(len(list) + 1), Subject: subject, Data: data})
	}
	add(&events.LogStarted{HashKey: newKey()})
	add(&events.SecretUser{User: user, Name: "alice", Hash: "x", Scope: []string{"profile"}})
	now := time.Now().Unix()
	for range count {
		add(&events.SessionStarted{Session: events.NewID(), User: user, Scope: []string{"profile"}, IssuedAt: now, AccessExpires: now + 300,
			IdleExpires: now + 86400, Expires: now + 1<<20, UserSeq: 2})
	}
	return list
}

// processor returns the time of the processor that this process has used.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
