package natsd

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
)

// stranger is somebody at a port of the cluster, who speaks its protocol as far as he gets.
type stranger struct {
	config *tls.Config // nil: without TLS
	secret string      // "": none
	nkey   nkeys.KeyPair
}

// certOf returns a TLS configuration that shows a certificate, "" for none, and trusts everybody.
func certOf(t *testing.T, cert, key string) *tls.Config {
	config := &tls.Config{InsecureSkipVerify: true}
	if cert == "" {
		return config
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config
}

// enter connects, by the protocol of routes or that of leaf nodes, says who he is, asks for all events and appends one. It reports
// whether the server took him in: whether it answered a PING.
func (s *stranger) enter(t *testing.T, addr string, route bool) bool {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(testContext(t), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var info string
	if !route { // says who it is before TLS begins
		info = readLine(conn)
	}
	if s.config != nil {
		conn = tls.Client(conn, s.config)
	}
	if route {
		info = readLine(conn)
	}
	var hello struct{ Nonce string }
	_ = json.Unmarshal([]byte(strings.TrimPrefix(info, "INFO ")), &hello) // whoever was refused has none
	connect := map[string]any{"verbose": false, "pedantic": false, "name": "stranger", "server_id": "NSTRANGER", "id": "NSTRANGER",
		"version": ServerVersion, "headers": true, "echo": true, "user": secretUser, "pass": s.secret}
	subject := "LS+ knell.event.>\r\nLMSG knell.event.x 5\r\nhello\r\n"
	if route {
		connect["cluster"] = "test"
		subject = "RS+ KNELL knell.event.>\r\nRMSG KNELL knell.event.x 5\r\nhello\r\n"
		info := fmt.Sprintf(`{"server_id":"NSTRANGER","server_name":"stranger","version":%q,"proto":1,"headers":true,"cluster":"test","max_payload":1048576}`,
			ServerVersion)
		subject = "INFO " + info + "\r\n" + subject
	}
	if s.nkey != nil {
		public, err := s.nkey.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		sig, err := s.nkey.Sign([]byte(hello.Nonce))
		if err != nil {
			t.Fatal(err)
		}
		delete(connect, "user")
		delete(connect, "pass")
		connect["nkey"], connect["sig"] = public, base64.RawURLEncoding.EncodeToString(sig)
	}
	text, err := json.Marshal(connect)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(conn, "CONNECT %s\r\n%sPING\r\n", text, subject) // a refusal may come first
	for in := bufio.NewReader(conn); ; {
		line, err := in.ReadString('\n')
		switch {
		case strings.HasPrefix(line, "PONG"):
			return true
		case strings.Contains(line, "MSG "):
			t.Errorf("was sent %q", line)
		case err != nil:
			return false
		}
	}
}

// readLine reads a line and not a byte more.
func readLine(r io.Reader) string {
	var line []byte
	for b := make([]byte, 1); len(line) < 1<<16; line = append(line, b[0]) {
		if _, err := r.Read(b); err != nil || b[0] == '\n' {
			break
		}
	}
	return string(line)
}

// closedCluster runs a cluster with mutual TLS, in which reader may read. It returns what the first server has, and where one joins it.
func closedCluster(t *testing.T, ca *authority, reader nkeys.KeyPair) (c *Cluster, joinAt string, js jetstream.JetStream) {
	t.Helper()
	public, err := reader.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	cfgs, joins := clusterConfigs(t, nil), freeAddrs(t, 3)
	var servers []*Server
	for i, cfg := range cfgs {
		ca.withTLS(t, cfg.Cluster, "127.0.0.1")
		cfg.Cluster.JoinListen = joins[i]
		cfg.Users = []User{{Key: public, Subscribe: []string{"knell.live.knell.event.>"}}}
		servers = append(servers, startTest(t, cfg))
	}
	nc := connectTest(t, servers[0])
	js = createStream(t, nc, 3)
	retry(t, func(ctx context.Context) error {
		_, err := publish(ctx, nc, "knell.event.before")
		return err
	})
	return cfgs[0].Cluster, joins[0], js
}

// TestStrangersAtTheDoor: who lacks anything of what makes a replica can neither read nor append, at no port of a cluster with mutual
// TLS. The last of each table has it all, and shows that the others would be seen if they got in.
func TestStrangersAtTheDoor(t *testing.T) {
	ca, foreign, reader := newAuthority(t), newAuthority(t), newUserKey(t)
	cluster, joinAt, js := closedCluster(t, ca, reader)
	begun := lastSeq(t, js)

	good := certOf(t, cluster.CertFile, cluster.KeyFile)
	fromCA := func(host string, end time.Time) *tls.Config {
		cert, key := ca.filesUntil(t, host, end)
		return certOf(t, cert, key)
	}
	fromOther := func() *tls.Config { cert, key := foreign.files(t, "127.0.0.1"); return certOf(t, cert, key) }
	itself := func() *tls.Config { // a certificate that signed itself
		cert, key := (&authority{}).files(t, "127.0.0.1")
		return certOf(t, cert, key)
	}
	old := good.Clone()
	old.MaxVersion = tls.VersionTLS12
	join, err := joinKey("test", testSecret)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := joinKey("test", "another secret of servers")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name        string
		who         stranger
		route, leaf bool // gets in
	}{
		{"no TLS", stranger{nil, testSecret, nil}, false, false},
		{"no certificate", stranger{certOf(t, "", ""), testSecret, join}, false, false},
		{"another authority", stranger{fromOther(), testSecret, join}, false, false},
		{"signed by itself", stranger{itself(), testSecret, join}, false, false},
		{"expired", stranger{fromCA("127.0.0.1", time.Now().Add(-time.Minute)), testSecret, join}, false, false},
		{"TLS 1.2", stranger{old, testSecret, join}, false, false},
		{"no secret", stranger{good, "", nil}, false, false},
		{"another secret", stranger{good, "another secret of servers", wrong}, false, false},
		{"key of a reader", stranger{good, "", reader}, false, false},
		{"certificate of another host", stranger{fromCA("client.example", time.Time{}), testSecret, nil}, false, false},
		{"who joins", stranger{fromCA("", time.Time{}), "", join}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			withoutKey := stranger{c.who.config, c.who.secret, nil}
			if got := withoutKey.enter(t, cluster.Listen, true); got != c.route {
				t.Errorf("as a route: gets in is %v", got)
			}
			if got := c.who.enter(t, joinAt, false); got != c.leaf {
				t.Errorf("as a leaf node: gets in is %v", got)
			}
		})
	}
	if got := lastSeq(t, js); got > begun+1 { // who has it all is a replica, and appended
		t.Errorf("the log has grown from %d to %d", begun, got)
	}
	if !(&stranger{good, testSecret, nil}).enter(t, cluster.Listen, true) {
		t.Error("who has it all is no route either: the test would not see who gets in")
	}
}

func newUserKey(t *testing.T) nkeys.KeyPair {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// lastSeq returns where the log ends.
func lastSeq(t *testing.T, js jetstream.JetStream) (seq uint64) {
	t.Helper()
	retry(t, func(ctx context.Context) error {
		stream, err := js.Stream(ctx, StreamName)
		if err == nil {
			seq = stream.CachedInfo().State.LastSeq
		}
		return err
	})
	return seq
}
