package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/knell-auth/knell/internal/natsd"
)

// readEvents reads n events of a grant as somebody with these credentials, and acknowledges the last.
func readEvents(t *testing.T, url, api, inbox, consumer string, n int, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, append(opts, nats.CustomInboxPrefix(inbox))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.NewWithAPIPrefix(nc, api)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := js.Consumer(ctx, "KNELL", consumer)
	if err != nil {
		t.Fatalf("consumer %s: %v", consumer, err)
	}
	var last jetstream.Msg
	for count := 0; count < n; count++ {
		m, err := c.Next(jetstream.FetchContext(ctx))
		if err != nil {
			t.Fatalf("event %d of %d: %v", count, n, err)
		}
		if !strings.HasPrefix(m.Subject(), "knell.event.") {
			t.Errorf("%s: not public", m.Subject())
		}
		last = m
	}
	if err := last.DoubleAck(ctx); err != nil {
		t.Error(err)
	}
	return nc
}

// grants returns what knell events grants says.
func grants(t *testing.T, dir string) []eventGrant {
	t.Helper()
	var list []eventGrant
	code, out := once(t, dir, "", "events", "grants", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	return list
}

// TestGrant grants, reads, lists and revokes, with a seed that knell makes and with one that it never sees.
func TestGrant(t *testing.T) {
	dir := t.TempDir()
	p := launch(t, dir, "serve", "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--drain", "0", "--lease", "5s")
	url := attribute(t, p.await(t, "msg=ready"), "nats")
	run := func(code int, text string, args ...string) string {
		t.Helper()
		got, out := once(t, dir, "", append([]string{"events"}, args...)...)
		if got != code || !strings.Contains(out, text) {
			t.Errorf("knell events %s: exit %d, want %d with %q:\n%s", strings.Join(args, " "), got, code, text, out)
		}
		return out
	}
	run(0, "/siem.nk --inbox-prefix _EVENTS.siem", "grant", "siem", "--out", "siem.nk", "--reason", "audit")
	file := filepath.Join(dir, "siem.nk")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	run(2, "file exists", "grant", "again", "--out", "siem.nk")
	run(1, "the name is taken", "grant", "siem", "--out", "other.nk")
	if _, err := os.Stat(filepath.Join(dir, "other.nk")); err == nil {
		t.Error("a file of a key that opens nothing")
	}
	own, public := newTestKey(t)
	if out := run(0, "consumer next KNELL", "grant", "own", "--nkey", public, "--since", "1h"); strings.Contains(out, "SU") {
		t.Errorf("a seed that nobody gave: %s", out)
	}
	run(2, "want a time", "grant", "x", "--since", "yesterday")
	run(1, "public NKey", "grant", "x", "--nkey", "UAB")
	run(0, "SU", "grant", "shown")

	list := grants(t, dir)
	if len(list) != 3 || list[2].Name != "siem" || list[2].Reader == nil || list[2].Reader.Pending == 0 || list[2].Outside {
		t.Fatalf("%+v", list)
	}
	siem, err := nats.NkeyOptionFromSeed(file)
	if err != nil {
		t.Fatal(err)
	}
	readEvents(t, url, logAPI, "_EVENTS.siem", list[2].Consumer, 2, siem)
	readEvents(t, url, logAPI, "_EVENTS.own", list[0].Consumer, 1, nats.Nkey(public, own.Sign))
	if out := run(0, "siem", "grants"); !strings.Contains(out, "yes") || !strings.Contains(out, "no ") {
		t.Error(out)
	}
	if now := grants(t, dir)[2]; now.Reader.Acked == 0 || now.Reader.AckedAt == nil || now.Connections != 1 {
		t.Errorf("%+v %+v", now, now.Reader)
	}
	run(0, "revoked siem", "revoke-grant", "siem")
	run(1, "there is no such", "revoke-grant", "siem")
	if nc, err := nats.Connect(url, siem); !errors.Is(err, nats.ErrAuthorization) {
		nc.Close()
		t.Errorf("after the end of the grant: %v", err)
	}
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 || strings.Contains(out, "SUA") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func newTestKey(t *testing.T) (key nkeys.KeyPair, public string) {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = key.PublicKey(); err != nil {
		t.Fatal(err)
	}
	return key, public
}

// elsewhere is a nats-server that somebody else runs, by a configuration that changes.
type elsewhere struct {
	*server.Server
	address string
	store   string
}

// start starts the server, again if it runs, with the accounts in text.
func (e *elsewhere) start(t *testing.T, accounts string) {
	t.Helper()
	e.stop()
	o := &server.Options{}
	if err := o.ProcessConfigString(fmt.Sprintf("listen: %q\njetstream { store_dir: %q, sync_interval: always }\n%s", e.address, e.store, accounts)); err != nil {
		t.Fatalf("%v:\n%s", err, accounts)
	}
	o.NoSigs, o.NoLog = true, true
	var err error
	if e.Server, err = server.NewServer(o); err != nil {
		t.Fatal(err)
	}
	e.Start()
	if !e.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not start")
	}
}

func (e *elsewhere) stop() {
	if e.Server != nil {
		e.Shutdown()
		e.WaitForShutdown()
	}
}

// TestGrantElsewhere: on somebody else's servers, what knell prints lets the reader in and nobody else; a reader can have nothing sent
// into the log, which a user of the log's own account with the same subjects could.
func TestGrantElsewhere(t *testing.T) {
	provesCommands(t)
	const replica = "users: [ { user: me, password: of-the-test } ]\n"
	addrs, err := natsd.LoopbackRoutes(1)
	if err != nil {
		t.Fatal(err)
	}
	e := &elsewhere{address: addrs[0], store: t.TempDir()}
	t.Cleanup(e.stop)
	e.start(t, "accounts { SYS: {}, KNELL: { jetstream: enabled\n"+replica+"} }\nsystem_account: SYS\n")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "user"), []byte("me:of-the-test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, dir, "serve", "--listen", "127.0.0.1:0", "--drain", "0", "--name", "e", "--nats-url", e.ClientURL(), "--log-copies", "1", "--lease", "5s",
		"--nats-user-file", "user", "--nats-sync-attested")
	p.await(t, "msg=ready")
	key, public := newTestKey(t)
	code, out := once(t, dir, "", "events", "grant", "siem", "--nkey", public)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	_, exported, ok := strings.Cut(out, "the account of the log:\n")
	exported, account, ok2 := strings.Cut(exported, "and beside it, with KNELL for the name of that account:\n")
	account, _, ok3 := strings.Cut(account, "to read:")
	if !ok || !ok2 || !ok3 {
		t.Fatal(out)
	}
	insiderKey, insider := newTestKey(t)
	g := grants(t, dir)[0]
	permissions := account[strings.Index(account, "permissions:"):]
	permissions = strings.ReplaceAll(permissions[:strings.LastIndex(permissions, "} ]")], readerAPI, logAPI)
	e.start(t, "accounts { SYS: {}, KNELL: { jetstream: enabled\n"+exported+"users: [ { user: me, password: of-the-test }, { nkey: "+insider+", "+permissions+"} ]\n}\n"+account+"}\nsystem_account: SYS\n")
	if !g.Outside {
		t.Errorf("%+v", g)
	}
	for range 4 {
		if code, out := once(t, dir, "", "role", "set", "r", "--scope", fmt.Sprint("s", time.Now().UnixNano())); code != 0 {
			t.Fatal(out)
		}
	}
	nc := readEvents(t, e.ClientURL(), readerAPI, "_EVENTS.siem", g.Consumer, 3, nats.Nkey(public, key.Sign), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if state := grants(t, dir)[0].Reader; state.AckedAt == nil || state.Unacked != 2 || state.Pending == 0 {
		t.Errorf("%+v", state)
	}
	if e.injected(t, nc, readerAPI, g.Consumer) {
		t.Error("a reader had an event sent into the log")
	}
	inside, err := nats.Connect(e.ClientURL(), nats.Nkey(insider, insiderKey.Sign), nats.CustomInboxPrefix("_EVENTS.siem"))
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	if !e.injected(t, inside, logAPI, g.Consumer) {
		t.Error("a user of the log's own account could not: is an account of its own still needed?")
	}
	for _, subject := range []string{"knell.event.x", "$JS.API.STREAM.INFO.KNELL", "$JS.API.CONSUMER.CREATE.KNELL", "$JS.API.STREAM.DELETE.KNELL"} {
		if err := errors.Join(nc.Publish(subject, nil), nc.Flush()); err != nil {
			t.Fatal(err)
		}
		if err := nc.LastError(); !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("%s: %v", subject, err)
		}
	}
}

// injected reports whether a reader can have an event sent to where replicas listen.
func (e *elsewhere) injected(t *testing.T, nc *nats.Conn, api, consumer string) bool {
	t.Helper()
	replica, err := nats.Connect(e.ClientURL(), nats.UserInfo("me", "of-the-test"))
	if err != nil {
		t.Fatal(err)
	}
	defer replica.Close()
	const into = "knell.live.stolen"
	sub, err := replica.SubscribeSync(into)
	if err := errors.Join(err, replica.Flush()); err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest(api+".CONSUMER.MSG.NEXT.KNELL."+consumer, into, []byte(`{"batch":1,"no_wait":true}`)); err != nil {
		t.Fatal(err)
	}
	// What JetStream sends, it sends before it answers a question that comes later.
	for range 2 {
		if _, err := nc.Request(api+".CONSUMER.INFO.KNELL."+consumer, nil, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	m, err := sub.NextMsg(time.Second)
	return err == nil && len(m.Data) > 0
}

// TestCredentials: what is signed with the key of an account says what the reader may do, and nothing else.
func TestCredentials(t *testing.T) {
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	key, public := newTestKey(t)
	seed, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	g := &eventGrant{Name: "siem", NKey: public, Stream: "KNELL", Consumer: "siem-9", Inbox: "_EVENTS.siem"}
	text, err := credentials(g, account, "", seed)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.ParseDecoratedJWT(text)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		t.Fatal(err)
	}
	if pair, err := jwt.ParseDecoratedUserNKey(text); err != nil {
		t.Error(err)
	} else if got, _ := pair.PublicKey(); got != public || claims.Subject != public {
		t.Errorf("%s, %s", got, claims.Subject)
	}
	if fmt.Sprint(claims.Pub.Allow) != "[KNELL.API.CONSUMER.MSG.NEXT.KNELL.siem-9 KNELL.API.CONSUMER.INFO.KNELL.siem-9 KNELL.API.CONSUMER.RESET.KNELL.siem-9 $JS.ACK.KNELL.siem-9.>]" ||
		fmt.Sprint(claims.Sub.Allow) != "[_EVENTS.siem.>]" {
		t.Errorf("%v, %v", claims.Pub, claims.Sub)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	for seed, want := range map[string]string{string(seed): "not that of an account", "x": "no seed"} {
		if err := os.WriteFile(file, []byte(seed), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readAccountKey(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
