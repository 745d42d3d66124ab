package tap

import (
	"fmt"
	"strings"
	"testing"
)

// event returns what a server sends for the delivery count of the event seq.
func event(count, seq int, data string) string {
	return fmt.Sprintf("MSG _EVENTS.siem.1 1 $JS.ACK.KNELL.siem-9.1.%d.%d.1700000000000000000.5 %d\r\n%s\r\n", seq, count, len(data), data)
}

// TestOrder: events pass in their order, whole, and nothing behind what breaks it.
func TestOrder(t *testing.T) {
	status := "HMSG _EVENTS.siem.1 1 28 28\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n"
	for _, c := range []struct {
		name  string
		sent  string
		whole string // what passes; "all": everything
		err   string // "": none
	}{
		{"nothing", "", "all", ""},
		{"in order", event(1, 5, "a") + event(2, 9, "b\r\nMSG c"), "all", ""},
		{"other lines", "PING\r\n+OK\r\n" + status + event(1, 5, "a") + "PONG\r\n-ERR 'x'\r\n", "all", ""},
		{"a request's answer", "MSG _EVENTS.siem.1 1 2\r\n{}\r\n" + event(1, 5, ""), "all", ""},
		{"with headers", "HMSG _EVENTS.siem.1 1 $JS.ACK.KNELL.siem-9.1.5.1.17.0 12 13\r\nNATS/1.0\r\n\r\nx\r\n" + event(2, 6, ""), "all", ""},
		{"cut in a line", event(1, 5, "a") + "MSG _EVENTS.si", event(1, 5, "a"), ""},
		{"cut in an event", event(1, 5, "a") + event(2, 6, "abc")[:75], event(1, 5, "a"), ""},
		{"a delivery that went elsewhere", event(1, 5, "a") + event(3, 7, "b"), event(1, 5, "a"), "out of order"},
		{"one that was sent again", event(1, 5, "a") + event(2, 4, "b"), event(1, 5, "a"), "out of order"},
		{"the same again", event(1, 5, "a") + event(2, 5, "a"), event(1, 5, "a"), "out of order"},
		{"not the first", event(2, 5, "a"), "", "out of order"},
		{"an acknowledgement without numbers", "MSG x 1 $JS.ACK.a 0\r\n\r\n", "", "out of order"},
		{"a length that is none", "MSG x 1 y\r\n", "", "the server sent"},
		{"an endless message", "MSG x 1 99999999\r\n", "", "the server sent"},
	} {
		if c.whole == "all" {
			c.whole = c.sent
		}
		for step := 1; step <= len(c.sent)+1; step++ { // however it arrives
			var o order
			var passed, kept []byte
			var err error
			for rest := []byte(c.sent); len(rest) > 0 && err == nil; {
				n := min(step, len(rest))
				kept, rest = append(kept, rest[:n]...), rest[n:]
				var whole int
				whole, err = o.whole(kept)
				passed, kept = append(passed, kept[:whole]...), kept[whole:]
			}
			if string(passed) != c.whole || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s, %d bytes at a time: %q passes, %v", c.name, step, passed, err)
				break
			}
		}
	}
}

// FuzzOrder: whatever a server sends, what passes is its beginning, and passes alone as well.
func FuzzOrder(f *testing.F) {
	f.Add([]byte(event(1, 5, "a") + event(2, 9, "b")))
	f.Add([]byte("HMSG a 1 $JS.ACK.s.c.1.2.1.4.5 12 13\r\nNATS/1.0\r\n\r\nx\r\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		var o, again order
		n, _ := o.whole(sent)
		if m, err := again.whole(sent[:n]); m != n || err != nil || again.count != o.count || again.seq != o.seq {
			t.Fatalf("%q: %d, then %d, %v", sent, n, m, err)
		}
	})
}
