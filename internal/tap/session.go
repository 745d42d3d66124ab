package tap

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nkeys"
)

// session is one connection of a reader.
type session struct {
	s      *Server
	conn   net.Conn // to the reader
	server net.Conn // to the server
	in     *bufio.Reader
	pass   Pass
	inbox  string // begins the reader's reply subjects, with a dot at the end

	mu  sync.Mutex // guards writes to conn; whoever holds it leaves it at the end of a message
	pos order
	out outbox

	sent deliveries // as of pos, for the loop that reads commands, before the reader has them

	// Of the loop that reads commands.
	rewound bool                // the consumer was made to begin after what was acknowledged
	acked   uint64              // the newest sequence that was acknowledged
	ids     map[string]struct{} // of subscriptions
	pace    pace
}

// maxLine is the length of the longest line that a reader may send, in bytes.
const maxLine = 4096

// info is what a connection begins with.
type info struct {
	ID           string `json:"server_id"`
	Name         string `json:"server_name"`
	Version      string `json:"version"`
	Proto        int    `json:"proto"`
	Go           string `json:"go"`
	Host         string `json:"host"`
	Port         int    `json:"port"`
	Headers      bool   `json:"headers"`
	AuthRequired bool   `json:"auth_required"`
	TLSRequired  bool   `json:"tls_required,omitempty"`
	MaxPayload   int    `json:"max_payload"`
	JetStream    bool   `json:"jetstream"`
	Nonce        string `json:"nonce"`
}

// connect is what a client says of itself.
type connect struct {
	NKey         string `json:"nkey"`
	Sig          string `json:"sig"`
	Verbose      bool   `json:"verbose"`
	Headers      bool   `json:"headers"`
	NoResponders bool   `json:"no_responders"`
}

// What a reader is told that is not let in. A replica that cannot prove that it is current says nothing and hangs up: clients stop to
// try servers that refuse their credentials.
const (
	errAuthorization = "Authorization Violation"
	errVerbose       = "Verbose Is Not Supported Here"
)

// open shakes hands with a reader, lets it in and connects it to the server.
func (c *session) open() error {
	if err := c.conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	nonce := strings.ToLower(rand.Text())
	if err := c.greet(nonce); err != nil {
		return err
	}
	c.in = bufio.NewReaderSize(c.conn, maxLine)
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	text, ok := strings.CutPrefix(string(line), "CONNECT ")
	var who connect
	if err := json.Unmarshal([]byte(text), &who); err != nil || !ok {
		return errors.New("no CONNECT")
	}
	if who.Verbose || !who.Headers {
		return c.refuse(errVerbose)
	}
	if !proven(who.NKey, who.Sig, nonce) {
		return c.refuse(errAuthorization)
	}
	ctx, cancel := context.WithTimeout(c.s.ctx, handshakeTimeout)
	defer cancel()
	// The pass outlives the handshake.
	if c.pass, err = c.s.cfg.Admit(c.s.ctx, who.NKey); errors.Is(err, ErrRefused) {
		return errors.Join(err, c.refuse(errAuthorization))
	} else if err != nil {
		return err
	}
	if d := c.s.turn(c.pass.Grant); d < time.Second {
		c.s.pause(d)
	} else {
		c.pass.Stop()
		return errors.New("connects too often")
	}
	if c.server, err = c.s.cfg.Dial(who.NoResponders); err != nil {
		c.pass.Stop()
		return err
	}
	c.inbox = c.s.cfg.Inbox + c.pass.Grant + "."
	if err = errors.Join(ctx.Err(), c.conn.SetDeadline(time.Time{})); err != nil {
		c.server.Close()
		c.pass.Stop()
	}
	return err
}

// greet sends INFO and, with a certificate, goes over to TLS.
func (c *session) greet(nonce string) error {
	i := info{
		ID: "KNELL", Name: "knell", Version: c.s.cfg.Version, Proto: 1, Go: "knell", Headers: true, AuthRequired: true,
		TLSRequired: c.s.cfg.TLS != nil, MaxPayload: maxPayload, JetStream: true, Nonce: nonce,
	}
	if a, ok := c.conn.LocalAddr().(*net.TCPAddr); ok {
		i.Host, i.Port = a.IP.String(), a.Port
	}
	text, err := json.Marshal(i)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c.conn, "INFO %s\r\n", text); err != nil || c.s.cfg.TLS == nil {
		return err
	}
	secure := tls.Server(c.conn, c.s.cfg.TLS)
	c.conn = secure
	return secure.HandshakeContext(c.s.ctx)
}

// proven reports whether sig is one of nonce by the private half of key.
func proven(key, sig, nonce string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(sig)
	if err != nil {
		if raw, err = base64.StdEncoding.DecodeString(sig); err != nil {
			return false
		}
	}
	if !nkeys.IsValidPublicUserKey(key) {
		return false
	}
	public, err := nkeys.FromPublicKey(key)
	return err == nil && public.Verify([]byte(nonce), raw) == nil
}

// refuse tells the reader why it is not served, as the last thing.
func (c *session) refuse(why string) error {
	c.say("-ERR '" + why + "'\r\n")
	return errors.New(strings.ToLower(why))
}

// say sends something to the reader between two messages. That it is gone is noticed elsewhere.
func (c *session) say(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) == nil {
		_, _ = c.conn.Write([]byte(line))
	}
}

// run passes on until one of the two sides ends, or the right to read, and returns why.
func (c *session) run() error {
	closeBoth := func() {
		c.conn.Close()
		c.server.Close()
	}
	defer context.AfterFunc(c.pass.Context, closeBoth)()
	c.out.change.L = &c.out.mu
	ends := make(chan error, 3)
	c.s.work.Go(func() { ends <- c.download() }) // what it has read is still delivered
	c.s.work.Go(func() {
		ends <- c.deliver()
		closeBoth()
	})
	ends <- c.upload()
	closeBoth()
	why := <-ends
	<-ends
	<-ends
	if c.pass.Context.Err() != nil {
		return context.Cause(c.pass.Context)
	}
	return why
}
