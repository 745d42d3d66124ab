package natsd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestTapRights: a tap may let consumers be read that are there, and nothing else.
func TestTapRights(t *testing.T) {
	s := startTest(t, Config{Dir: t.TempDir(), Name: "n1"})
	for _, c := range []struct {
		verb, subjects string
		allowed        bool
	}{
		{"publish", "$JS.API.CONSUMER.MSG.NEXT.KNELL.c $JS.API.CONSUMER.INFO.KNELL.c $JS.API.CONSUMER.RESET.KNELL.c $JS.ACK.KNELL.c.1.1.1.1.1", true},
		{"subscribe", "_EVENTS.siem.> _EVENTS._.n1.x", true},
		{"publish", "knell.event.x knell.secret.x knell.node.n1 knell.live.x knell.report.n1.n1 _EVENTS.siem.x $JS.API.CONSUMER.CREATE.KNELL", false},
		{"publish", "$JS.API.CONSUMER.DELETE.KNELL.c $JS.API.STREAM.INFO.KNELL $JS.API.STREAM.DELETE.KNELL $JS.API.STREAM.CREATE.KNELL $SYS.REQ.USER.INFO", false},
		{"subscribe", "> knell.> knell.event.> knell.secret.> knell.live.> _INBOX_n1.> $JS.> $SYS.>", false},
	} {
		for _, subject := range strings.Fields(c.subjects) {
			nc, err := s.connect(testContext(t), s.users.tap, tapOwnInbox("n1"))
			if err != nil {
				t.Fatal(err)
			}
			if c.verb == "publish" {
				err = nc.Publish(subject, nil)
			} else {
				_, err = nc.SubscribeSync(subject)
			}
			if err := errors.Join(err, nc.FlushWithContext(testContext(t))); err != nil {
				t.Fatal(err)
			}
			if err := nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) == c.allowed {
				t.Errorf("%s %s: allowed is %v, error is %v", c.verb, subject, c.allowed, err)
			}
			nc.Close()
		}
	}
}

// TestTap: what a tap opens are messages alone, and a consumer that was rewound begins after what was acknowledged.
func TestTap(t *testing.T) {
	s := startTest(t, Config{Dir: t.TempDir(), Name: "n1"})
	nc := connectTest(t, s)
	js := createStream(t, nc, 1)
	ctx := testContext(t)
	for i := range 3 {
		if _, err := js.Publish(ctx, "knell.event.x", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.CreateConsumer(ctx, StreamName, jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckAllPolicy}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		conn, err := s.Tap(true)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "SUB _EVENTS.x.y 1\r\nPUB %sCONSUMER.MSG.NEXT.KNELL.c _EVENTS.x.y 1\r\n2\r\n", s.API()); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(conn)
		for i, want := range []string{"1.1.1.", "1.2.2."} {
			line, err := in.ReadString('\n')
			if data, err2 := in.ReadString('\n'); err != nil || err2 != nil || !strings.Contains(line, "$JS.ACK.KNELL.c."+want) || data != fmt.Sprintf("%d\r\n", i) {
				t.Fatalf("%q %q, %v, %v", line, data, err, err2)
			}
		}
		if err := s.Rewind(ctx, "c"); err != nil {
			t.Fatal(err)
		}
	}
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if err := s.Rewind(short, "nobody"); err == nil {
		t.Error("a consumer that is not there was rewound")
	}
}
