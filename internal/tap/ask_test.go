package tap

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPull: a request has what a reader needs, within bounds, and nothing else.
func TestPull(t *testing.T) {
	for body, want := range map[string]string{
		"":     `{"batch":1}`,
		" 500": `{"batch":500}`,
		"{}":   `{"batch":1}`,
		"-5":   `{"batch":1}`,
		`{"batch":7,"no_wait":true,"expires":5000000000,"max_bytes":9}`:                                 `{"batch":7,"max_bytes":9,"no_wait":true,"expires":5000000000}`,
		`{"batch":1,"expires":30000000000,"idle_heartbeat":5000000000}`:                                 `{"batch":1,"expires":30000000000,"idle_heartbeat":5000000000}`,
		`{"batch":1,"expires":9000000000000000000,"idle_heartbeat":1}`:                                  `{"batch":1,"expires":86400000000000,"idle_heartbeat":100000000}`,
		`{"batch":1,"expires":2,"idle_heartbeat":1}`:                                                    `{"batch":1,"expires":2}`,
		`{"batch":0,"max_bytes":-1,"expires":-1,"idle_heartbeat":-1}`:                                   `{"batch":1}`,
		`{"batch":2,"group":"g","min_pending":1,"min_ack_pending":1,"id":"x","priority":3,"other":[1]}`: `{"batch":2}`,
		"x": "", "1.5": "", "[]": "", `{"batch":"1"}`: "", `{"expires":1e99}`: "", "{": "",
	} {
		got, err := pull([]byte(body))
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", body, got, err, want)
		}
	}
}

// TestAcknowledge: what a connection has not delivered is not acknowledged over it; the number among the deliveries, which JetStream believes,
// may not be that of an earlier one.
func TestAcknowledge(t *testing.T) {
	for _, c := range []struct {
		numbers, body string
		rewound       bool // with events 90 to 99 delivered as 1 to 10
		want          string
	}{
		{"1.99.10.17.0", "", true, "sent"},
		{"1.90.1.17.0", "+ACK", true, "sent"},
		{"1.99.10.17.0", "+WPI", true, "sent"},
		{"1.99.10.17.0", `-NAK {"delay":5}`, true, "sent"},
		{"1.99.10.17.0", "+TERM why", true, "sent"},
		{"1.80.70.17.0", "", false, "sent"}, // of the connection before, and nothing was asked for yet
		{"1.80.70.17.0", "", true, ""},
		{"1.94.5.17.0", "", true, "sent"},
		{"1.94.4.17.0", "", true, ""}, // of an earlier one that began elsewhere: what it acknowledges is delivered here under another number
		{"1.91.9.17.0", "", true, ""},
		{"1.91.9.17.0", "-NAK", true, ""},
		{"1.99.11.17.0", "", true, ""},
		{"1.100.10.17.0", "", true, ""},
		{"1.99.9223372036854775807.17.0", "", false, ""},
		{"1.0.1.17.0", "", false, ""},
		{"1.99.10.17.0", "+NXT", true, "denied"},
		{"1.99.10.17.0", "x", true, "denied"},
		{"1.99.10.17", "", true, "denied"},
		{"1.99.10.17.0.0", "", true, "denied"},
		{"1.99.x.17.0", "", true, "denied"},
		{"1.99..17.0", "", true, "denied"},
		{"-1.99.10.17.0", "", true, "denied"},
		{"1.99.99999999999999999999.17.0", "", true, "denied"},
	} {
		s, _ := reading(t, "")
		s.rewound = c.rewound
		if c.rewound {
			s.sent.add(4, []uint64{90, 91, 92, 93})
			s.sent.add(10, []uint64{94, 95, 96, 97, 98, 99})
		}
		subject := "$JS.ACK.KNELL.siem-9." + c.numbers
		to, text, err := s.request(subject, []byte(c.body))
		got := map[bool]string{true: "sent"}[to == subject && string(text) == c.body && err == nil]
		if err == errDenied && to == "" {
			got = "denied"
		}
		if got != c.want {
			t.Errorf("%s %q: %q, want %q (%q, %q, %v)", c.numbers, c.body, got, c.want, to, text, err)
		}
	}
}

// TestDeliveriesAreForgotten: what was acknowledged takes no memory, but for the newest, which may be acknowledged again.
func TestDeliveriesAreForgotten(t *testing.T) {
	s, _ := reading(t, "")
	s.rewound = true
	for i := range uint64(100_000) {
		count, seq := i+1, 3*i+90
		s.sent.add(count, []uint64{seq})
		if i%1000 != 0 {
			continue
		}
		for _, back := range []uint64{0, 0, min(i, 1)} { // and one that comes late, for whose answer a client may wait
			count, seq := count-back, seq-3*back
			if to, _, err := s.request(fmt.Sprintf("$JS.ACK.KNELL.siem-9.1.%d.%d.17.0", seq, count), nil); to == "" || err != nil {
				t.Fatalf("delivery %d: %q, %v", count, to, err)
			}
		}
	}
	if n := cap(s.sent.seqs); n > 5000 {
		t.Errorf("room for %d sequences", n)
	}
}

// TestSubscriptionsAreBounded: those that were ended do not count.
func TestSubscriptionsAreBounded(t *testing.T) {
	var few, many strings.Builder
	for i := range 3 * maxSubscriptions / 2 {
		fmt.Fprintf(&few, "SUB _EVENTS.siem.%d %d\r\nUNSUB %d\r\n", i, i, i)
		fmt.Fprintf(&many, "SUB _EVENTS.siem.%d %d\r\nUNSUB %d 5\r\n", i, i, i)
	}
	if out, told, _ := upload(t, few.String()); strings.Count(out, "UNSUB") != 3*maxSubscriptions/2 || told != "" {
		t.Errorf("one after the other: the server is told of %d, the reader %q", strings.Count(out, "UNSUB"), told)
	}
	if out, told, err := upload(t, many.String()); strings.Count(out, "UNSUB") != maxSubscriptions || !strings.Contains(told, "Maximum Subscriptions") || err == nil {
		t.Errorf("together: the server is told of %d, the reader %q, end %v", strings.Count(out, "UNSUB"), told, err)
	}
}

// TestPace: floods wait; acknowledgements of one event after the other do not, once there was a request for events.
func TestPace(t *testing.T) {
	acknowledgement := func(i int) string { return fmt.Sprintf("PUB $JS.ACK.KNELL.siem-9.1.%d.1.17.0 0\r\n\r\n", i+1) }
	for name, c := range map[string]struct {
		command func(i int) string
		count   int
		least   time.Duration
		most    time.Duration
	}{
		"signs of life":            {func(int) string { return "PING\r\n" }, 4500, 490 * time.Millisecond, time.Second},
		"requests":                 {func(int) string { return "PUB $JS.API.CONSUMER.MSG.NEXT.KNELL.siem-9 _EVENTS.siem.a 0\r\n\r\n" }, 4500, 490 * time.Millisecond, time.Second},
		"questions":                {func(int) string { return "PUB $JS.API.CONSUMER.INFO.KNELL.siem-9 _EVENTS.siem.a 0\r\n\r\n" }, 225, 490 * time.Millisecond, time.Second},
		"one acknowledgement":      {func(int) string { return "PUB $JS.ACK.KNELL.siem-9.1.5.1.17.0 0\r\n\r\n" }, 4500, 490 * time.Millisecond, time.Second},
		"many of work in progress": {func(int) string { return "PUB $JS.ACK.KNELL.siem-9.1.5.1.17.0 4\r\n+WPI\r\n" }, 4500, 490 * time.Millisecond, time.Second},
		"early acknowledgements":   {acknowledgement, 4500, 490 * time.Millisecond, time.Second},
		"acknowledgements": {func(i int) string {
			if i == 0 {
				return "PUB $JS.API.CONSUMER.MSG.NEXT.KNELL.siem-9 _EVENTS.siem.a 0\r\n\r\n"
			}
			return acknowledgement(i)
		}, 4500, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			var all strings.Builder
			for i := range c.count {
				all.WriteString(c.command(i))
			}
			began := time.Now()
			if _, told, _ := upload(t, all.String()); told != "" {
				t.Errorf("%s: the reader is told %q", name, told)
			}
			if took := time.Since(began); took < c.least || took > c.most {
				t.Errorf("%s: %d take %v, want %v to %v", name, c.count, took, c.least, c.most)
			}
		})
	}
}
