package natsd

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// TapInbox begins the reply subjects of those who read events through a tap. Behind it stands a name that differs for each.
const TapInbox = "_EVENTS."

// ServerVersion is the version of the embedded server.
const ServerVersion = server.VERSION

// tapRights returns what a tap may do: let consumers that are there be read and acknowledged. Which one somebody may read, and where
// the answers go, is for the tap to watch.
func tapRights(name, prefix string) *server.Permissions {
	return &server.Permissions{
		Publish: exactly([]string{
			prefix + "CONSUMER.MSG.NEXT." + StreamName + ".*",
			prefix + "CONSUMER.INFO." + StreamName + ".*",
			prefix + "CONSUMER.RESET." + StreamName + ".*",
			"$JS.ACK." + StreamName + ".>",
		}),
		Subscribe: exactly([]string{TapInbox + ">", tapOwnInbox(name) + ".>"}),
	}
}

// tapOwnInbox is the prefix of the reply subjects of Rewind.
func tapOwnInbox(name string) string { return TapInbox + "_." + name }

// api returns the prefix of the JetStream API in requests from this server.
func (c *Config) api() string {
	if c.Join != nil {
		return domainPrefix
	}
	return apiPrefix
}

// API returns the prefix of the subjects of the JetStream API on connections from this server.
func (s *Server) API() string { return s.api }

// Tap returns an in-process connection that has been opened in the protocol of NATS, by a user with the rights of a tap: what is
// written to it is commands of a client, what is read from it are messages, without anything about the cluster. noResponders says
// whether that client wants to hear when nobody listens to what it asks. The caller closes it.
func (s *Server) Tap(noResponders bool) (net.Conn, error) {
	conn, err := s.srv.InProcessConn()
	if err != nil {
		return nil, fmt.Errorf("natsd: tap: %w", err)
	}
	if err := s.openTap(conn, noResponders); err != nil {
		conn.Close()
		return nil, fmt.Errorf("natsd: tap: %w", err)
	}
	return conn, nil
}

// openTap shakes hands. The server sends nothing before it is asked but its INFO and, upon the PING, the PONG: nothing is left in the
// buffer.
func (s *Server) openTap(conn net.Conn, noResponders bool) error {
	if err := conn.SetDeadline(time.Now().Add(connectTimeout)); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	var info struct{ Nonce string }
	text, ok := strings.CutPrefix(line, "INFO ")
	if err := json.Unmarshal([]byte(text), &info); err != nil || !ok || info.Nonce == "" {
		return fmt.Errorf("the server began with %.40q", line)
	}
	public, err := s.users.tap.PublicKey()
	if err != nil {
		return err
	}
	sig, err := s.users.tap.Sign([]byte(info.Nonce))
	if err != nil {
		return err
	}
	// Protocol 0: the server sends no further INFO, which would name addresses of the cluster.
	connect, err := json.Marshal(map[string]any{
		"nkey": public, "sig": base64.RawURLEncoding.EncodeToString(sig), "verbose": false, "pedantic": false, "protocol": 0, "echo": false,
		"headers": true, "no_responders": noResponders, "lang": "knell", "version": ServerVersion, "name": s.name + "-tap",
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "CONNECT %s\r\nPING\r\n", connect); err != nil {
		return err
	}
	if line, err = in.ReadString('\n'); err != nil {
		return err
	}
	if line != "PONG\r\n" || in.Buffered() > 0 {
		return fmt.Errorf("the server answered %.40q", line)
	}
	return conn.SetDeadline(time.Time{})
}

// Rewind makes a consumer go back to what comes after its newest acknowledgement. It returns when that is so on a majority of the
// consumer's servers. What was sent before and not acknowledged is sent again.
func (s *Server) Rewind(ctx context.Context, consumer string) error {
	nc, err := s.connect(ctx, s.users.tap, tapOwnInbox(s.name))
	if err != nil {
		return err
	}
	defer nc.Close()
	for {
		err := rewind(ctx, nc, s.api+"CONSUMER.RESET."+StreamName+"."+consumer)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil || !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("natsd: rewinding %s: %w", consumer, err)
		}
		select { // its servers may be about to elect a leader
		case <-time.After(rewindPause):
		case <-ctx.Done():
		}
	}
}

// How often it is asked again.
const (
	rewindPause = 100 * time.Millisecond
	rewindTry   = 2 * time.Second
)

func rewind(ctx context.Context, nc *nats.Conn, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, rewindTry)
	defer cancel()
	return request(ctx, nc, subject, nil, nil)
}
