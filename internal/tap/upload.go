package tap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxPayload is the size of the largest message that a reader may send, in bytes: a request for events has some 60.
const maxPayload = 1024

// The subjects of requests, as readers write them.
const (
	publicAPI = "$JS.API."
	next      = "CONSUMER.MSG.NEXT."
	about     = "CONSUMER.INFO."
	ack       = "$JS.ACK."
)

var errCommand = errors.New("a command that readers do not have")

// upload reads the reader's commands, and writes to the server what it may ask.
func (c *session) upload() error {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the reader hung up")
			}
			return err
		}
		if err := c.pass.Check(); err != nil {
			return err
		}
		out, err := c.command(strings.TrimRight(string(line), "\r\n"))
		switch {
		case errors.Is(err, errSubscriptions):
			return c.refuse("Maximum Subscriptions Exceeded")
		case err != nil:
			c.say("-ERR 'Unknown Protocol Operation'\r\n")
			return err
		}
		if out == nil {
			continue
		}
		if _, err := c.server.Write(out); err != nil {
			return err
		}
	}
}

// command returns what the server is told for one command, nil for nothing.
func (c *session) command(line string) ([]byte, error) {
	words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(words) == 0 {
		return nil, errCommand
	}
	verb, args := strings.ToUpper(words[0]), words[1:]
	switch verb {
	case "PUB":
		return c.publish(args, 1) // which waits by itself
	case "HPUB":
		return c.publish(args, 2)
	}
	if err := c.wait(1); err != nil {
		return nil, err
	}
	switch verb {
	case "PING", "PONG":
		return []byte(verb + "\r\n"), nil
	case "SUB":
		return c.subscribe(args)
	case "UNSUB":
		return c.unsubscribe(args)
	}
	return nil, errCommand
}

// subscribe takes a subscription below the reader's own inbox, without a queue.
func (c *session) subscribe(args []string) ([]byte, error) {
	if len(args) < 2 || len(args) > 3 || !isID(args[len(args)-1]) {
		return nil, errCommand
	}
	if len(args) == 3 || !c.own(args[0], true) {
		c.violation("Subscription", args[0])
		return nil, nil
	}
	if c.ids[args[1]] = struct{}{}; len(c.ids) > maxSubscriptions {
		return nil, errSubscriptions
	}
	return fmt.Appendf(nil, "SUB %s %s\r\n", args[0], args[1]), nil
}

// maxSubscriptions bounds what a connection can make all servers of the cluster remember. Clients have one, or one a request.
const maxSubscriptions = 1000

var errSubscriptions = errors.New("too many subscriptions")

// unsubscribe ends a subscription. One that ends after some more messages counts as long as the connection: only the server knows when
// that is.
func (c *session) unsubscribe(args []string) ([]byte, error) {
	if len(args) < 1 || len(args) > 2 || !isID(args[0]) || len(args) == 2 && !isNumber(args[1]) {
		return nil, errCommand
	}
	if len(args) == 1 {
		delete(c.ids, args[0])
	}
	return []byte("UNSUB " + strings.Join(args, " ") + "\r\n"), nil
}

// publish reads a message, of which the last sizes words of args are lengths, and returns the request that it is, if the reader may make
// it. Messages with headers are read and dropped: headers ask the server for more than a reader needs, such as traces to a subject of
// one's choice.
func (c *session) publish(args []string, sizes int) ([]byte, error) {
	if len(args) < 1+sizes || len(args) > 2+sizes || !isNumber(args[len(args)-1]) {
		return nil, errCommand
	}
	size, err := strconv.Atoi(args[len(args)-1])
	if err != nil || size > maxPayload {
		return nil, fmt.Errorf("a message of %s bytes", args[len(args)-1])
	}
	var body [maxPayload + 2]byte
	if _, err := io.ReadFull(c.in, body[:size+2]); err != nil {
		return nil, err
	}
	if !bytes.Equal(body[size:size+2], []byte("\r\n")) {
		return nil, errCommand
	}
	subject, reply := args[0], ""
	if len(args) == 2+sizes {
		reply = args[1]
	}
	if sizes > 1 || reply != "" && !c.own(reply, false) {
		c.violation("Publish", subject)
		return nil, nil
	}
	to, text, err := c.request(subject, body[:size])
	switch {
	case errors.Is(err, errDenied):
		c.violation("Publish", subject)
		return nil, nil
	case err != nil || to == "":
		return nil, err
	}
	if reply != "" {
		reply += " "
	}
	out := fmt.Appendf(make([]byte, 0, len(to)+len(reply)+len(text)+16), "PUB %s %s%d\r\n", to, reply, len(text))
	return append(append(out, text...), "\r\n"...), nil
}

// errDenied: the reader may not do that, and may go on.
var errDenied = errors.New("denied")

// request returns a message of the reader as the server is to have it: the subject and the text. "" for to: nothing is to be sent.
// errDenied: the reader may not send it. It waits until it is time for the message.
func (c *session) request(subject string, body []byte) (to string, text []byte, err error) {
	consumer := c.s.cfg.Stream + "." + c.pass.Consumer
	if rest, api := strings.CutPrefix(subject, publicAPI); api {
		switch rest {
		case next + consumer:
			if text, err = pull(body); err != nil {
				return "", nil, errDenied
			}
			if !c.rewound {
				err = c.rewind()
			}
			return c.s.cfg.API + rest, text, errors.Join(err, c.wait(1))
		case about + consumer:
			return c.s.cfg.API + rest, nil, c.wait(aboutCost)
		}
	}
	if numbers, ok := strings.CutPrefix(subject, ack+consumer+"."); ok {
		return c.acknowledge(subject, numbers, body)
	}
	return "", nil, errDenied
}

// rewind makes the consumer begin after what was acknowledged last: before the first request of a connection, so that what another
// connection got and did not acknowledge comes first, in its order.
func (c *session) rewind() error {
	ctx, cancel := context.WithTimeout(c.pass.Context, rewindTimeout)
	defer cancel()
	if err := c.s.cfg.Rewind(ctx, c.pass.Consumer); err != nil {
		return err
	}
	c.rewound = true
	return nil
}

// violation tells the reader what it may not do, in the words of nats-server, and goes on.
func (c *session) violation(what, subject string) {
	if !isSubject(subject, true) {
		subject = "..."
	}
	c.say(fmt.Sprintf("-ERR 'Permissions Violation for %s to %q'\r\n", what, subject))
}

// own reports whether a subject is below the reader's inbox.
func (c *session) own(subject string, wildcards bool) bool {
	return strings.HasPrefix(subject, c.inbox) && isSubject(subject, wildcards)
}

// isSubject reports whether s is a subject of letters, digits and what clients and servers put between them.
func isSubject(s string, wildcards bool) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-', c == '$':
		case wildcards && (c == '*' || c == '>'):
		default:
			return false
		}
	}
	return true
}

// isID reports whether s can name a subscription.
func isID(s string) bool { return len(s) <= 32 && !strings.Contains(s, ".") && isSubject(s, false) }

// isNumber reports whether s is a number of at most nine digits.
func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) > 0 && len(s) < 10
}
