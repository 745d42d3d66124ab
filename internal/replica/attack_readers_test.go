package replica

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/node"
)

// TestAttackReader: what somebody tries with the credentials of a reader. The replica's log, and what it knows, are as before.
func TestAttackReader(t *testing.T) {
	r := start(t, withReaders(t, standalone(t, t.TempDir())))
	roles(t, r, 3)
	other, rd := grantTo(t, r, "other", 0), grantTo(t, r, "siem", 0)
	before := public(t, r)
	const own = events.ReaderInbox + "siem."
	for _, c := range []struct{ name, verb, subjects string }{
		{"write into the log", "publish", "knell.event.revoked.everything knell.event.session.1 knell.secret.1 knell.node.knell knell.event.x"},
		{"speak for a replica", "publish", "knell.live.knell.event.x knell.report.knell.knell _INBOX_knell.x _ADMIN_knell.x _EVENTS._.knell.x"},
		{"ask about the stream", "publish", "$JS.API.INFO $JS.API.STREAM.INFO.KNELL $JS.API.STREAM.NAMES $JS.API.STREAM.LIST $JS.API.STREAM.MSG.GET.KNELL " +
			"$JS.API.DIRECT.GET.KNELL $JS.API.DIRECT.GET.KNELL.knell.secret.1"},
		{"change the stream", "publish", "$JS.API.STREAM.CREATE.KNELL $JS.API.STREAM.CREATE.OTHER $JS.API.STREAM.UPDATE.KNELL $JS.API.STREAM.DELETE.KNELL " +
			"$JS.API.STREAM.PURGE.KNELL $JS.API.STREAM.MSG.DELETE.KNELL $JS.API.STREAM.SNAPSHOT.KNELL $JS.API.STREAM.RESTORE.KNELL " +
			"$JS.API.STREAM.LEADER.STEPDOWN.KNELL $JS.API.META.LEADER.STEPDOWN"},
		{"make a consumer, of push with a subject of its choice", "publish", "$JS.API.CONSUMER.CREATE.KNELL $JS.API.CONSUMER.CREATE.KNELL.c $JS.API.CONSUMER.CREATE.KNELL.c.knell.secret.> " +
			"$JS.API.CONSUMER.DURABLE.CREATE.KNELL.c"},
		{"read a consumer of others", "publish", "$JS.API.CONSUMER.MSG.NEXT.KNELL." + other.Consumer + " $JS.API.CONSUMER.INFO.KNELL." + other.Consumer + " $JS.API.CONSUMER.NAMES.KNELL " +
			"$JS.API.CONSUMER.LIST.KNELL $JS.ACK.KNELL." + other.Consumer + ".1.1.1.1.0"},
		{"delete or reset a consumer", "publish", "$JS.API.CONSUMER.DELETE.KNELL." + rd.Consumer + " $JS.API.CONSUMER.RESET.KNELL." + rd.Consumer + " $JS.API.CONSUMER.RESET.KNELL." + other.Consumer +
			" $JS.API.CONSUMER.PAUSE.KNELL." + rd.Consumer + " $JS.API.CONSUMER.UNPIN.KNELL." + rd.Consumer},
		{"ask the system", "publish", "$SYS.REQ.USER.INFO $SYS.REQ.SERVER.PING $SYS.REQ.ACCOUNT.KNELL.CONNZ $NRG.x $JS.knell.API.INFO"},
		{"hear the log", "subscribe", "> knell.> knell.event.> knell.secret.> knell.live.> knell.node.> knell.report.>"},
		{"hear others", "subscribe", "_INBOX.> _INBOX_knell.> _EVENTS.> _EVENTS.*.> _EVENTS.other.> _EVENTS._.> *.siem.> _ADMIN_knell.>"},
		{"hear the system", "subscribe", "$SYS.> $JS.> $JS.EVENT.> $JS.API.> $JS.ACK.> $NRG.>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, subject := range strings.Fields(c.subjects) {
				refusedBy(t, rd, r, func(nc *nats.Conn) error {
					if c.verb == "subscribe" {
						_, err := nc.SubscribeSync(subject)
						return err
					}
					return nc.PublishRequest(subject, own+"x", []byte("{}"))
				}, subject)
			}
		})
	}
	next := "$JS.API.CONSUMER.MSG.NEXT.KNELL." + rd.Consumer
	t.Run("have events sent elsewhere", func(t *testing.T) {
		for _, reply := range strings.Fields("knell.event.revoked.everything knell.secret.1 knell.live.x knell.report.knell.knell _INBOX_knell.x _EVENTS.other.x _EVENTS.siem " +
			"_EVENTS.siem.> _EVENTS.siem.* $JS.ACK.KNELL." + other.Consumer + ".1.1.1.1.0 $JS.API.STREAM.PURGE.KNELL _R_.x _GR_.x") {
			refusedBy(t, rd, r, func(nc *nats.Conn) error { return nc.PublishRequest(next, reply, []byte(`{"batch":5}`)) }, reply)
		}
	})
	t.Run("have a message traced into the log", func(t *testing.T) {
		refusedBy(t, rd, r, func(nc *nats.Conn) error {
			m := nats.NewMsg(next)
			m.Reply, m.Data = own+"x", []byte("{}")
			m.Header.Set("Nats-Trace-Dest", "knell.event.x")
			return nc.PublishMsg(m)
		}, "headers")
	})
	t.Run("come in another way", func(t *testing.T) { comeInOtherwise(t, r, rd, other) })
	if after := public(t, r); len(after) != len(before) {
		t.Errorf("the log has %d public events, and had %d", len(after), len(before))
	}
	nc, err := other.connect(t, r.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	if got := take(t, other.consumer(t, nc), len(before), false); got[0] != before[0] {
		t.Errorf("another reader begins at %d", got[0])
	}
}

// refusedBy fails the test unless the replica refuses what is done over a connection of its own.
func refusedBy(t *testing.T, rd *reader, r *Replica, do func(*nats.Conn) error, what string) {
	t.Helper()
	nc, err := rd.connect(t, r.ClientURL(), nats.NoReconnect(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	// The answer to the flush comes after the refusal.
	if err := errors.Join(do(nc), nc.FlushWithContext(ctx)); err != nil {
		t.Fatal(err)
	}
	if err := nc.LastError(); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("%s: %v", what, err)
	}
}

// dialed is a connection in the clear, with the nonce that it began with.
type dialed struct {
	net.Conn
	in    *bufio.Reader
	nonce string
}

func dialReader(t *testing.T, r *Replica) *dialed {
	t.Helper()
	conn, err := net.Dial("tcp", r.cfg.Readers.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	d := &dialed{Conn: conn, in: bufio.NewReader(conn)}
	line, err := d.in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var info struct{ Nonce string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info); err != nil || info.Nonce == "" {
		t.Fatalf("%q, %v", line, err)
	}
	d.nonce = info.Nonce
	return d
}

// comeInOtherwise: without the proof of a key that has a grant, nobody gets as far as a command.
func comeInOtherwise(t *testing.T, r *Replica, rd, other *reader) {
	sign := func(by *reader, text string) string {
		sig, err := by.key.Sign([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(sig)
	}
	first := dialReader(t, r)
	for name, connect := range map[string]func(nonce string) string{
		"nobody":              func(string) string { return `{"headers":true}` },
		"a password":          func(string) string { return `{"headers":true,"user":"knell","pass":"x"}` },
		"a key without proof": func(string) string { return fmt.Sprintf(`{"headers":true,"nkey":%q}`, rd.Key) },
		"another's proof": func(n string) string {
			return fmt.Sprintf(`{"headers":true,"nkey":%q,"sig":%q}`, rd.Key, sign(other, n))
		},
		"the proof of before": func(string) string {
			return fmt.Sprintf(`{"headers":true,"nkey":%q,"sig":%q}`, rd.Key, sign(rd, first.nonce))
		},
		"a key without a grant": func(n string) string { return unknownKey(t, n) },
		"a JWT":                 func(n string) string { return fmt.Sprintf(`{"headers":true,"jwt":"eyJ","sig":%q}`, sign(rd, n)) },
	} {
		d := dialReader(t, r)
		if _, err := fmt.Fprintf(d, "CONNECT %s\r\nPING\r\n", connect(d.nonce)); err != nil {
			t.Fatal(err)
		}
		if line, err := d.in.ReadString('\n'); err != nil || line != "-ERR 'Authorization Violation'\r\n" {
			t.Errorf("%s: %q, %v", name, line, err)
		}
	}
	for name, text := range map[string]string{
		"no CONNECT": "PING\r\n", "HTTP": "GET / HTTP/1.1\r\n\r\n", "a route": "INFO {}\r\n", "an endless line": strings.Repeat("x", 10_000),
	} {
		d := dialReader(t, r)
		_, _ = d.Write([]byte(text)) // it may hang up before the end
		if line, err := d.in.ReadString('\n'); err == nil {
			t.Errorf("%s: %q", name, line)
		}
	}
}

func unknownKey(t *testing.T, nonce string) string {
	t.Helper()
	stranger := newKey(t)
	sig, err := stranger.key.Sign([]byte(nonce))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"headers":true,"nkey":%q,"sig":%q}`, stranger.Key, base64.RawURLEncoding.EncodeToString(sig))
}

// TestAttackReaderAtReplicaWithoutLease: a replica that cannot prove that it is current lets nobody in and sends nothing on, and does not
// say that the key is wrong.
func TestAttackReaderAtReplicaWithoutLease(t *testing.T) {
	list := readerCluster(t)
	roles(t, list[0], 3)
	rd := grantTo(t, list[0], "siem", 0)
	closed := make(chan struct{})
	nc, err := rd.connect(t, list[0].ClientURL(), nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	take(t, rd.consumer(t, nc), 2, false)
	for _, r := range list[1:3] { // the majority goes, without a word
		r.server.(*natsd.Server).Kill()
	}
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Fatal("the connection outlives the lease")
	}
	if _, _, err := list[0].Node().Admit(t.Context(), rd.Key); !errors.Is(err, node.ErrNotCurrent) {
		t.Errorf("it lets readers in: %v", err)
	}
	if _, err := rd.connect(t, list[0].ClientURL(), nats.NoReconnect()); err == nil || errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("connecting: %v", err)
	}
}
