package replica

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/node"
)

// atHand is the operator of the tests.
var atHand = node.Origin{Actor: "local"}

// reader is somebody outside who may read events.
type reader struct {
	node.Grant
	key nkeys.KeyPair
}

// grantTo grants somebody new the events at a replica.
func grantTo(t testing.TB, r *Replica, name string, after uint64) *reader {
	t.Helper()
	rd := newKey(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var err error
	if rd.Grant, err = r.Node().GrantEvents(ctx, node.NewGrant{Name: name, Key: rd.Key, After: after}, atHand); err != nil {
		t.Fatal(err)
	}
	return rd
}

// newKey returns somebody who has no grant.
func newKey(t testing.TB) *reader {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return &reader{node.Grant{Key: public}, key}
}

// connect connects to replicas as the reader does, by default to the first of them that lets it in.
func (rd *reader) connect(t testing.TB, urls string, more ...nats.Option) (*nats.Conn, error) {
	t.Helper()
	opts := append([]nats.Option{
		nats.Nkey(rd.Key, rd.key.Sign), nats.CustomInboxPrefix(events.ReaderInbox + rd.Name), nats.MaxReconnects(-1),
		nats.ReconnectWait(20 * time.Millisecond), nats.IgnoreAuthErrorAbort(), nats.Timeout(5 * time.Second),
	}, more...)
	nc, err := nats.Connect(urls, opts...)
	if err == nil {
		t.Cleanup(nc.Close)
	}
	return nc, err
}

// consumer returns the reader's consumer over a connection.
func (rd *reader) consumer(t testing.TB, nc *nats.Conn) jetstream.Consumer {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := js.Consumer(ctx, events.StreamName, rd.Consumer)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// take takes n events and acknowledges the last of them, if ack says so. It returns their sequences in the log.
func take(t testing.TB, c jetstream.Consumer, n int, ack bool) []uint64 {
	t.Helper()
	var seqs []uint64
	for deadline := time.Now().Add(20 * time.Second); len(seqs) < n && time.Now().Before(deadline); {
		batch, err := c.Fetch(n-len(seqs), jetstream.FetchMaxWait(2*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			if seqs = append(seqs, meta.Sequence.Stream); ack && len(seqs) == n {
				if err := m.DoubleAck(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if len(seqs) != n {
		t.Fatalf("%d events of %d", len(seqs), n)
	}
	return seqs
}

// withReaders opens a listener for readers.
func withReaders(t testing.TB, cfg Config) Config {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Readers = l
	return cfg
}

// roles writes n public events.
func roles(t testing.TB, r *Replica, n int) {
	t.Helper()
	for i := range n {
		if err := r.Node().SetRoleScopes(context.Background(), "reader", []string{fmt.Sprintf("s%d-%d", i, time.Now().UnixNano())}, atHand); err != nil {
			t.Fatal(err)
		}
	}
}

// public returns the sequences of all public events of a replica's log.
func public(t testing.TB, r *Replica) []uint64 {
	t.Helper()
	var seqs []uint64
	stat, err := r.events.Stat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.events.Read(t.Context(), 0, stat.Last, func(batch []events.Message) error {
		for _, m := range batch {
			if events.AccessTo(m.Subject) == events.Public {
				seqs = append(seqs, m.Seq)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return seqs
}

// disconnects is a log that tells when the connection of a reader has ended and counts no more: its client knows sooner.
type disconnects chan struct{}

// Write implements io.Writer.
func (d disconnects) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(`msg="reader disconnected"`)) {
		d <- struct{}{}
	}
	return len(line), nil
}

// TestReader: a client of NATS reads all public events in their order; what it has not acknowledged comes again, at once and first, when
// it connects anew; and the list of grants says so.
func TestReader(t *testing.T) {
	cfg, ended := withReaders(t, standalone(t, t.TempDir())), make(disconnects, 16) // more than there are connections
	cfg.Logger = slog.New(slog.NewTextHandler(ended, nil))
	r := start(t, cfg)
	roles(t, r, 9)
	rd := grantTo(t, r, "siem", 0)
	want := public(t, r)
	for step, acks := range []bool{false, true} {
		nc, err := rd.connect(t, r.ClientURL())
		if err != nil {
			t.Fatal(err)
		}
		if got := take(t, rd.consumer(t, nc), 6, acks); !slices.Equal(got, want[:6]) {
			t.Errorf("connection %d: %v, want %v", step, got, want[:6])
		}
		list, err := r.Node().Grants(t.Context())
		if err != nil || len(list) != 1 || list[0].Here != 1 || list[0].Reader == nil {
			t.Fatalf("%+v, %v", list, err)
		}
		state := list[0].Reader
		if acks != (state.Acked == want[5] && !state.AckedAt.IsZero()) || !acks && state.Unacked != 6 || int(state.Pending) != len(want)-6 || list[0].Behind() {
			t.Errorf("connection %d: %+v", step, state)
		}
		nc.Close()
		<-ended
	}
	nc, err := rd.connect(t, r.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	if got := take(t, rd.consumer(t, nc), len(want)-6, true); !slices.Equal(got, want[6:]) {
		t.Errorf("%v, want %v", got, want[6:])
	}
	// What says that it is not done with an event ends the connection: the next one begins there.
	roles(t, r, 2)
	want = public(t, r)
	reconnected := make(chan struct{}, 1)
	nc.SetReconnectHandler(func(*nats.Conn) { reconnected <- struct{}{} })
	c := rd.consumer(t, nc)
	batch, err := c.Fetch(2, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	var got []jetstream.Msg
	for m := range batch.Messages() {
		got = append(got, m)
	}
	if len(got) != 2 || got[0].Nak() != nil {
		t.Fatalf("%d events", len(got))
	}
	if batch, err = c.Fetch(1, jetstream.FetchMaxWait(5*time.Second)); err != nil {
		t.Fatal(err)
	}
	<-reconnected
	var again []uint64
	for m := range batch.Messages() { // its request may be open still
		if meta, err := m.Metadata(); err == nil {
			again = append(again, meta.Sequence.Stream)
		}
	}
	if again = append(again, take(t, rd.consumer(t, nc), 2-len(again), true)...); !slices.Equal(again, want[len(want)-2:]) {
		t.Errorf("after one was refused: %v, want %v", again, want[len(want)-2:])
	}
	beginsWhere(t, r, want)
}

// beginsWhere: a grant may begin later; a position that the log has not reached, a name and a key that others have, are refused.
func beginsWhere(t *testing.T, r *Replica, public []uint64) {
	later := grantTo(t, r, "later", public[3])
	nc, err := later.connect(t, r.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	if got := take(t, later.consumer(t, nc), 2, false); !slices.Equal(got, public[4:6]) {
		t.Errorf("after %d: %v", public[3], got)
	}
	for _, c := range []struct {
		ng   node.NewGrant
		want error
	}{
		{node.NewGrant{Name: "x", Key: later.Key}, node.ErrExists},
		{node.NewGrant{Name: "later", Key: later.Key}, node.ErrExists},
		{node.NewGrant{Name: "later", Key: later.Key, After: public[3]}, nil},
		{node.NewGrant{Name: "x", Key: "UAB"}, node.ErrBadRequest},
		{node.NewGrant{Name: "a.b", Key: later.Key}, node.ErrBadRequest},
		{node.NewGrant{Name: "future", Key: later.Key, After: 1 << 40}, node.ErrBadRequest},
		{node.NewGrant{Name: "both", Key: later.Key, After: 1, Since: time.Now()}, node.ErrBadRequest},
	} {
		if _, err := r.Node().GrantEvents(t.Context(), c.ng, atHand); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.ng, err, c.want)
		}
	}
}

// readerCluster starts three replicas and one that joined, all with doors for readers.
func readerCluster(t *testing.T) []*Replica {
	t.Helper()
	dir, routes, joins := t.TempDir(), routesFor(t, 3), routesFor(t, 3)
	list := make([]*Replica, 4)
	for i := range list {
		cfg := withReaders(t, standalone(t, filepath.Join(dir, fmt.Sprintf("r%d", i))))
		cfg.Name, cfg.Copies, cfg.Node.Lease = fmt.Sprintf("r%d", i), 3, 3*time.Second
		if i == 3 {
			cfg.NATS.Join = &natsd.Join{Name: "test", Servers: joins, Secret: testSecret, Silence: 3 * time.Second / 2}
		} else {
			cfg.NATS.Cluster = clusterOf(routes, i)
			cfg.NATS.Cluster.JoinListen = joins[i]
		}
		list[i] = Start(cfg)
		t.Cleanup(func() { stop(t, list[i]) })
	}
	for _, r := range list {
		awaitReady(t, r)
	}
	return list
}

// TestReaderCluster: a grant that was made at one replica is good at all of them when that has returned, and one that was revoked is good
// at none: connections have ended, new ones are refused, and nothing that happens afterwards reaches who had it.
func TestReaderCluster(t *testing.T) {
	list := readerCluster(t)
	roles(t, list[0], 5)
	rd := grantTo(t, list[0], "siem", 0)
	want := public(t, list[1])
	closed := make(chan struct{}, len(list))
	var late sync.Map
	conns := make([]*nats.Conn, len(list))
	for i, r := range list { // one after the other
		nc, err := rd.connect(t, r.ClientURL(), nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { closed <- struct{}{} }))
		if err != nil {
			t.Fatalf("r%d: %v", i, err)
		}
		if got := take(t, rd.consumer(t, nc), 3, false); !slices.Equal(got, want[:3]) {
			t.Errorf("r%d: %v, want %v", i, got, want[:3])
		}
		conns[i] = nc
	}
	for i, nc := range conns {
		if _, err := nc.Subscribe(events.ReaderInbox+rd.Name+".late", func(m *nats.Msg) { late.Store(string(m.Data), i) }); err != nil {
			t.Fatal(err)
		}
		// Requests that are open when the grant ends.
		if err := nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.KNELL."+rd.Consumer, events.ReaderInbox+rd.Name+".late", []byte(`{"batch":1000,"expires":60000000000}`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := list[2].Node().RevokeGrant(t.Context(), "siem", atHand); err != nil {
		t.Fatal(err)
	}
	for i, r := range list {
		if _, _, err := r.Node().Admit(t.Context(), rd.Key); !errors.Is(err, node.ErrInvalidKey) {
			t.Errorf("r%d lets it in: %v", i, err)
		}
		if _, err := rd.connect(t, r.ClientURL(), nats.NoReconnect()); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("r%d: %v", i, err)
		}
		<-closed
	}
	after := list[0].Node().Status().Applied
	roles(t, list[0], 3)
	if err := list[0].events.Read(t.Context(), after, list[0].Node().Status().Applied, func(batch []events.Message) error {
		for _, m := range batch {
			if i, sent := late.Load(string(m.Data)); sent {
				t.Errorf("r%v sent the event %d after the grant was revoked", i, m.Seq)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if _, err := list[0].events.ReaderState(t.Context(), rd.Consumer); !errors.Is(err, events.ErrNoReader) {
		t.Errorf("the consumer is still there: %v", err)
	}
	if err := list[1].Node().RevokeGrant(t.Context(), "siem", atHand); !errors.Is(err, node.ErrNotFound) {
		t.Errorf("revoked twice: %v", err)
	}
}

// TestReaderOverTLS: with a certificate, readers begin as NATS has it: in the clear, and TLS before they say who they are.
func TestReaderOverTLS(t *testing.T) {
	cfg := withReaders(t, standalone(t, t.TempDir()))
	files := TLS{CertFile: filepath.Join(t.TempDir(), "cert.pem"), KeyFile: filepath.Join(t.TempDir(), "key.pem")}
	writePair(t, files, 1)
	cfg.ReadersTLS = &files
	r := start(t, cfg)
	roles(t, r, 2)
	rd := grantTo(t, r, "siem", 0)
	if _, err := rd.connect(t, r.ClientURL(), nats.NoReconnect()); err == nil {
		t.Error("connected without trusting the certificate")
	}
	nc, err := rd.connect(t, r.ClientURL(), nats.RootCAs(files.CertFile))
	if err != nil {
		t.Fatal(err)
	}
	if !nc.TLSRequired() {
		t.Error("no TLS")
	}
	take(t, rd.consumer(t, nc), 2, true)
}

// TestGrantsOverHTTP: what the administration is told.
func TestGrantsOverHTTP(t *testing.T) {
	dir := t.TempDir()
	r := start(t, withReaders(t, standalone(t, dir)))
	grantTo(t, r, "siem", 0)
	local, done := socketClient(filepath.Join(dir, SocketName))
	defer done()
	resp, err := local.Get("http://local/event-grants")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct{ Grants []map[string]any }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || resp.StatusCode != http.StatusOK || len(list.Grants) != 1 {
		t.Fatalf("%d %v %v", resp.StatusCode, list, err)
	}
	if natsd.TapInbox != events.ReaderInbox {
		t.Errorf("readers answer at %s, and have rights at %s", events.ReaderInbox, natsd.TapInbox)
	}
	g := list.Grants[0]
	if reader, _ := g["reader"].(map[string]any); g["name"] != "siem" || g["stream"] != "KNELL" || g["inbox_prefix"] != "_EVENTS.siem" || g["outside"] != false || reader["acknowledged_at"] != nil {
		t.Errorf("%v", g)
	}
}
