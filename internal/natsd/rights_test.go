package natsd

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
)

// TestRights: what the replica n1 may publish and subscribe to. The server answers each line on its own connection.
func TestRights(t *testing.T) {
	s := startTest(t, Config{Dir: t.TempDir(), Name: "n1"})
	for _, c := range []struct {
		verb, subjects string
		allowed        bool
	}{
		{"publish", "knell.event.revoked.user knell.event.session.1 knell.secret.1 knell.node.n1", true},
		{"publish", "knell.report.n2.n1 knell.report.n1.n1", true},
		{"publish", "$JS.API.INFO $JS.API.STREAM.NAMES $JS.API.STREAM.INFO.KNELL $JS.API.STREAM.CREATE.KNELL", true},
		{"publish", "$JS.API.CONSUMER.CREATE.KNELL $JS.API.CONSUMER.CREATE.KNELL.c $JS.API.CONSUMER.CREATE.KNELL.c.knell.event.>", true},
		{"publish", "$JS.API.CONSUMER.INFO.KNELL.c $JS.API.CONSUMER.DELETE.KNELL.c $JS.API.CONSUMER.MSG.NEXT.KNELL.c", true},
		{"publish", "$JS.ACK.KNELL.c.1.1.1.1.1 $JS.FC.KNELL.c.x", true},
		{"publish", "knell.snapshot.7.n1.0 knell.snapshot.7.n1.head $JS.API.STREAM.CREATE.KNELL_SNAPSHOTS $JS.API.STREAM.INFO.KNELL_SNAPSHOTS", true},
		{"publish", "$JS.API.STREAM.PURGE.KNELL_SNAPSHOTS $JS.API.DIRECT.GET.KNELL_SNAPSHOTS.knell.snapshot.7.n2.head", true},
		{"publish", "knell.tile.e.0.1 $JS.API.STREAM.INFO.KNELL_TILES $JS.API.STREAM.CREATE.KNELL_TILES $JS.API.STREAM.MSG.GET.KNELL_TILES", true},

		{"publish", "knell.node.n2 knell.node knell.report.n2.n2 knell.report.n1.n2 knell.live.knell.event.x knell.event knell", false},
		{"publish", "knell.snapshot.7.n2.0 $JS.API.STREAM.DELETE.KNELL_SNAPSHOTS $JS.API.STREAM.UPDATE.KNELL_SNAPSHOTS", false},
		{"publish", "$JS.API.CONSUMER.CREATE.KNELL_SNAPSHOTS.c $JS.API.STREAM.MSG.DELETE.KNELL_SNAPSHOTS", false},
		{"publish", "$JS.API.STREAM.UPDATE.KNELL $JS.API.STREAM.DELETE.KNELL $JS.API.STREAM.PURGE.KNELL", false},
		{"publish", "$JS.API.STREAM.DELETE.KNELL_TILES $JS.API.STREAM.UPDATE.KNELL_TILES $JS.API.STREAM.PURGE.KNELL_TILES", false},
		{"publish", "$JS.API.STREAM.MSG.DELETE.KNELL_TILES $JS.API.CONSUMER.CREATE.KNELL_TILES", false},
		{"publish", "$JS.API.STREAM.MSG.DELETE.KNELL $JS.API.STREAM.LEADER.STEPDOWN.KNELL $JS.API.STREAM.PEER.REMOVE.KNELL", false},
		{"publish", "$JS.API.STREAM.CREATE.OTHER $JS.API.STREAM.INFO.OTHER $JS.API.STREAM.LIST $JS.API.STREAM.SNAPSHOT.KNELL", false},
		{"publish", "$JS.API.STREAM.RESTORE.KNELL $JS.API.STREAM.RESTORE.OTHER $JS.API.STREAM.MSG.GET.KNELL", false},
		{"publish", "$JS.API.META.LEADER.STEPDOWN $JS.API.CONSUMER.CREATE.OTHER $JS.API.CONSUMER.DURABLE.CREATE.KNELL.c", false},
		{"publish", "$SYS.REQ.SERVER.PING $SYS.REQ.USER.INFO _INBOX_n2.x _ADMIN_n1.x other", false},

		{"subscribe", "knell.live.> knell.live.knell.event.> knell.report.n1.* knell.report.n1.n2 _INBOX_n1.> _INBOX_n1.x.*", true},
		{"subscribe", "> knell.> knell.event.> knell.secret.> knell.node.> knell.report.> knell.report.n2.* knell.report.*.n1", false},
		{"subscribe", "_INBOX.> _INBOX_n2.> _ADMIN_n1.> $JS.> $JS.EVENT.> $SYS.> other", false},
	} {
		for _, subject := range strings.Fields(c.subjects) {
			nc := connectTest(t, s)
			var err error
			if c.verb == "publish" {
				err = nc.Publish(subject, nil)
			} else {
				_, err = nc.SubscribeSync(subject)
			}
			// The answer to the flush comes after the refusal.
			if err := errors.Join(err, nc.FlushWithContext(testContext(t))); err != nil {
				t.Fatal(err)
			}
			if err := nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) == c.allowed || c.allowed && err != nil {
				t.Errorf("%s %s: allowed is %v, error is %v", c.verb, subject, c.allowed, err)
			}
			nc.Close()
		}
	}
}

// TestReplica: the rights are enough to append, to follow and to report, through the client library's own ways.
func TestReplica(t *testing.T) {
	s := startTest(t, Config{Dir: t.TempDir(), Name: "n1"})
	ctx := testContext(t)
	nc := connectTest(t, s)
	js := createStream(t, nc, 1)
	live, err := nc.SubscribeSync("knell.live.>")
	if err != nil {
		t.Fatal(err)
	}
	reports, err := nc.SubscribeSync("knell.report.n1.*")
	if err != nil {
		t.Fatal(err)
	}

	if ack, err := js.Publish(ctx, "knell.secret.7", []byte("s"), jetstream.WithMsgID("id")); err != nil || ack.Sequence != 1 {
		t.Errorf("append: %+v, %v", ack, err)
	}
	if ack, err := js.Publish(ctx, "knell.secret.7", []byte("s"), jetstream.WithMsgID("id")); err != nil || !ack.Duplicate {
		t.Errorf("append again: %+v, %v", ack, err)
	}
	if m, err := live.NextMsgWithContext(ctx); err != nil || m.Subject != "knell.live.knell.secret.7" || m.Header.Get("Nats-Sequence") != "1" {
		t.Errorf("live: %+v, %v", m, err)
	}
	if err := nc.Publish("knell.report.n1.n1", []byte("r")); err != nil {
		t.Error(err)
	}
	if m, err := reports.NextMsgWithContext(ctx); err != nil || string(m.Data) != "r" {
		t.Errorf("report: %+v, %v", m, err)
	}

	stream, err := js.Stream(ctx, StreamName)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	if m, err := messages.Next(jetstream.NextContext(ctx)); err != nil || m.Subject() != "knell.secret.7" {
		t.Errorf("ordered consumer: %v, %v", m, err)
	}
	if m, err := consumer.Fetch(1, jetstream.FetchMaxWait(time.Second)); err == nil { // a second use is refused by the library
		t.Errorf("fetch beside messages: %v", m)
	}
	if err := nc.LastError(); err != nil {
		t.Errorf("the server refused something: %v", err)
	}
	if err := js.DeleteStream(timeout(t, 100*time.Millisecond), StreamName); err == nil {
		t.Error("the replica deleted the stream")
	}
}

// TestStrangers: over TCP, only the users that were named get in, with the rights that were given.
func TestStrangers(t *testing.T) {
	reader, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := reader.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	s := startTest(t, Config{Dir: t.TempDir(), Name: "n1", ClientListen: "127.0.0.1:0",
		Users: []User{{Key: public, Subscribe: []string{"knell.live.knell.event.>"}}}})
	login := func(k nkeys.KeyPair) nats.Option {
		public, err := k.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return nats.Nkey(public, k.Sign)
	}
	other, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string][]nats.Option{
		"no user":                 nil,
		"unknown key":             {login(other)},
		"the replica's key":       {login(s.users.replica)},
		"the administrator's key": {login(s.users.admin)},
		"the keeper's key":        {login(s.users.keeper)},
		"the tap's key":           {login(s.users.tap)},
	} {
		if nc, err := nats.Connect(s.ClientURL(), opts...); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: error %v", name, err)
			nc.Close()
		}
	}
	nc, err := nats.Connect(s.ClientURL(), login(reader))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync("knell.live.knell.event.>")
	if err := errors.Join(err, nc.FlushWithContext(testContext(t)), nc.LastError()); err != nil {
		t.Fatal(err)
	}
	own := connectTest(t, s)
	createStream(t, own, 1)
	if _, err := publish(testContext(t), own, "knell.event.x"); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.NextMsgWithContext(testContext(t)); err != nil {
		t.Error(err)
	}
	if err := errors.Join(nc.Publish("knell.event.x", nil), nc.FlushWithContext(testContext(t))); err != nil {
		t.Fatal(err)
	}
	if err := nc.LastError(); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("publish without a right: %v", err)
	}
}
