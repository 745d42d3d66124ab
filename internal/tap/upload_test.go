package tap

import (
	"bufio"
	"context"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
)

// reading returns a session of the grant siem that has sent commands, and what it is told.
func reading(t testing.TB, commands string) (c *session, told <-chan string) {
	ours, theirs := net.Pipe()
	answers := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(theirs) // the end of the pipe
		answers <- string(text)
	}()
	t.Cleanup(func() { ours.Close() })
	s := New(Config{Stream: "KNELL", Inbox: "_EVENTS.", API: "$JS.knell.API.", Rewind: func(context.Context, string) error { return nil }})
	return &session{
		s: s, conn: ours, in: bufio.NewReaderSize(strings.NewReader(commands), maxLine), inbox: "_EVENTS.siem.", ids: map[string]struct{}{},
		pass: Pass{Grant: "siem", Consumer: "siem-9", Context: t.Context(), Check: func() error { return nil }},
	}, answers
}

// upload returns what a server would be told for commands, what the reader is told, and how it ends.
func upload(t testing.TB, commands string) (out, told string, err error) {
	c, answers := reading(t, commands)
	up, server := net.Pipe()
	c.server = up
	got := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(server)
		got <- string(text)
	}()
	err = c.upload()
	up.Close()
	c.conn.Close()
	return <-got, <-answers, err
}

// TestUpload: commands that a reader has are written anew, all others come to nothing.
func TestUpload(t *testing.T) {
	const next = "$JS.API.CONSUMER.MSG.NEXT.KNELL.siem-9"
	for _, c := range []struct{ name, sent, out, told string }{
		{"a subscription", "SUB _EVENTS.siem.abc.* 1\r\n", "SUB _EVENTS.siem.abc.* 1\r\n", ""},
		{"its end", "unsub 1 5\r\nUNSUB\t1\r\n", "UNSUB 1 5\r\nUNSUB 1\r\n", ""},
		{"signs of life", "PING\r\npong\r\n", "PING\r\nPONG\r\n", ""},
		{"a request", "PUB " + next + " _EVENTS.siem.a 2\r\n{}\r\n", "PUB $JS.knell.API.CONSUMER.MSG.NEXT.KNELL.siem-9 _EVENTS.siem.a 11\r\n{\"batch\":1}\r\n", ""},
		{"what there is", "PUB $JS.API.CONSUMER.INFO.KNELL.siem-9 _EVENTS.siem.a 0\r\n\r\n", "PUB $JS.knell.API.CONSUMER.INFO.KNELL.siem-9 _EVENTS.siem.a 0\r\n\r\n", ""},
		{"an acknowledgement", "PUB $JS.ACK.KNELL.siem-9.1.5.1.17.0 0\r\n\r\n", "PUB $JS.ACK.KNELL.siem-9.1.5.1.17.0 0\r\n\r\n", ""},
		{"a body with commands in it", "PUB $JS.ACK.KNELL.siem-9.1.5.1.17.0 15\r\n-NAK\r\nPUB a 0\r\n\r\n", "PUB $JS.ACK.KNELL.siem-9.1.5.1.17.0 15\r\n-NAK\r\nPUB a 0\r\n\r\n", ""},

		{"what is no acknowledgement", "PUB $JS.ACK.KNELL.siem-9.1.5.1.17.0 9\r\n+NXT {}..\r\n", "", "Permissions Violation for Publish"},
		{"what is no request", "PUB " + next + " _EVENTS.siem.a 2\r\n[]\r\n", "", "Permissions Violation for Publish"},
		{"a reply into the log", "PUB " + next + " knell.event.revoked.user 2\r\n{}\r\n", "", "Permissions Violation for Publish"},
		{"a reply to another reader", "PUB " + next + " _EVENTS.other.a 2\r\n{}\r\n", "", "Permissions Violation for Publish"},
		{"a reply to all", "PUB " + next + " _EVENTS.siem.> 2\r\n{}\r\n", "", "Permissions Violation for Publish"},
		{"a reply that goes up", "PUB " + next + " _EVENTS.siem 2\r\n{}\r\n", "", "Permissions Violation for Publish"},
		{"another consumer", "PUB $JS.API.CONSUMER.MSG.NEXT.KNELL.siem-91 _EVENTS.siem.a 0\r\n\r\n", "", "Permissions Violation for Publish"},
		{"another's acknowledgement", "PUB $JS.ACK.KNELL.siem-91.1.5.1.17.0 0\r\n\r\n", "", "Permissions Violation for Publish"},
		{"headers", "HPUB " + next + " _EVENTS.siem.a 12 14\r\nNATS/1.0\r\n\r\n{}\r\n", "", "Permissions Violation for Publish"},
		{"an event", "PUB knell.event.revoked.everything 2\r\n{}\r\nPING\r\n", "PING\r\n", "Permissions Violation for Publish"},
		{"the log", "SUB knell.> 1\r\n", "", "Permissions Violation for Subscription"},
		{"everything", "SUB > 1\r\n", "", "Permissions Violation for Subscription"},
		{"another's inbox", "SUB _EVENTS.*.> 1\r\n", "", "Permissions Violation for Subscription"},
		{"a queue", "SUB _EVENTS.siem.a q 1\r\n", "", "Permissions Violation for Subscription"},
		{"a second CONNECT", "CONNECT {}\r\n", "", "Unknown Protocol Operation"},
		{"another INFO", "INFO {}\r\n", "", "Unknown Protocol Operation"},
		{"a route's command", "RS+ KNELL knell.> \r\n", "", "Unknown Protocol Operation"},
		{"no command", "\r\n", "", "Unknown Protocol Operation"},
		{"a carriage return in a subject", "PUB $JS.ACK.KNELL.siem-9.1\rPUB x 0\r\n\r\n", "", "Permissions Violation for Publish"},
		{"a length below zero", "PUB " + next + " -1\r\n", "", "Unknown Protocol Operation"},
		{"a huge message", "PUB " + next + " 2000000\r\n", "", "Unknown Protocol Operation"},
		{"a body that goes on", "PUB " + next + " 2\r\n{}{}\r\n", "", "Unknown Protocol Operation"},
		{"an endless line", strings.Repeat("x", 2*maxLine), "", ""},
	} {
		out, told, err := upload(t, c.sent)
		if out != c.out || !strings.Contains(told, c.told) || (c.told == "") != (told == "") || err == nil {
			t.Errorf("%s: the server is told %q, the reader %q, end %v", c.name, out, told, err)
		}
	}
}

// passes is all that a server is ever told for the grant siem.
var passes = regexp.MustCompile(`^(SUB _EVENTS\.siem\.[A-Za-z0-9_$.*>-]+ [A-Za-z0-9_$-]{1,32}|UNSUB [A-Za-z0-9_$-]{1,32}( [0-9]{1,9})?|P[IO]NG|` +
	`PUB (\$JS\.knell\.API\.CONSUMER\.(MSG\.NEXT|INFO)\.KNELL\.siem-9|\$JS\.ACK\.KNELL\.siem-9\.[A-Za-z0-9_$.-]+)( _EVENTS\.siem\.[A-Za-z0-9_$.-]+)? [0-9]{1,9})$`)

// FuzzUpload: whatever a reader sends, the server is told nothing else.
func FuzzUpload(f *testing.F) {
	f.Add("SUB _EVENTS.siem.a 1\r\nPUB $JS.API.CONSUMER.MSG.NEXT.KNELL.siem-9 _EVENTS.siem.a 2\r\n{}\r\nPING\r\n")
	f.Add("HPUB a b 12 14\r\nNATS/1.0\r\n\r\n{}\r\nUNSUB 1\r\n")
	f.Fuzz(func(t *testing.T, sent string) {
		out, _, _ := upload(t, sent)
		for out != "" {
			line, rest, ok := strings.Cut(out, "\r\n")
			if !ok || !passes.MatchString(line) {
				t.Fatalf("%q for %q", line, sent)
			}
			out = rest
			if strings.HasPrefix(line, "PUB ") {
				size, ok := number([]byte(line[strings.LastIndexByte(line, ' ')+1:]))
				if !ok || int(size)+2 > len(out) {
					t.Fatalf("%q for %q", line, sent)
				}
				out = out[size+2:]
			}
		}
	})
}
