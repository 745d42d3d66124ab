package httpapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/knell-auth/knell/events/eventstest"
	"github.com/knell-auth/knell/internal/password"
	"github.com/knell-auth/knell/node"
)

// world is one replica over a log in memory, with its HTTP surface on loopback. Accounts: alice (scopes profile and notes,
// role reader), root (scopes admin, audit and profile), mallory (disabled); clients: svc (confidential), spa (public).
type world struct {
	node    *node.Node
	handler http.Handler
	address string
	log     *eventstest.Memory
	logged  *lockedBuffer

	// vars are what scripts know: the tokens of alice and root, what was made of them, and what scripts keep.
	vars map[string]string
}

var passwords = map[string]string{
	"alice": "wonderland-1865", "root": "toor-and-feather", "mallory": "disabled-pw-1", "svc": "svc-secret-0123456789",
}

// startNode returns a replica over log with the least work for hashing: these tests are not about that.
func startNode(t testing.TB, name string, log *eventstest.Node, logger *slog.Logger, edit ...func(*node.Config)) *node.Node {
	t.Helper()
	cfg := node.Config{
		Name: name, Dir: eventstest.Dir(t), Log: log, Issuer: "https://knell.test", Audience: "api", Lease: 3 * time.Second, Logger: logger,
		Password: password.Config{Queue: 256, MaxWait: 10 * time.Second, Params: password.Params{MemoryKiB: 8, Time: 1, Lanes: 1}},
	}
	for _, f := range edit {
		f(&cfg)
	}
	n, err := node.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return n
}

// withBasic lets user names and passwords in.
func withBasic(c *node.Config) { c.Basic = true }

func newWorld(t testing.TB, edit ...func(*node.Config)) *world {
	t.Helper()
	w := &world{logged: &lockedBuffer{}, vars: map[string]string{}}
	level := slog.LevelDebug
	if _, ok := t.(*testing.B); ok {
		level = slog.LevelInfo
	}
	logger := slog.New(slog.NewTextHandler(w.logged, &slog.HandlerOptions{Level: level}))
	w.log = eventstest.New(t)
	w.node = startNode(t, "n1", w.log.Node("n1"), logger, edit...)
	w.handler = New(w.node, Config{Logger: logger, PasswordGrant: true})
	if t, ok := t.(*testing.T); ok {
		w.handler = asDescribed(t, w.handler)
	}
	w.address = serve(t, w.handler)
	w.populate(t)
	return w
}

func (w *world) populate(t testing.TB) {
	t.Helper()
	o := node.Origin{Actor: "test"}
	for _, u := range []node.NewUser{
		{Name: "alice", Roles: []string{"reader"}, Scope: []string{"profile", "notes"}},
		{Name: "root", Roles: []string{"operator"}, Scope: []string{"admin", "audit", "profile"}},
		{Name: "mallory", Scope: []string{"profile"}, Disabled: true},
	} {
		u.Password = passwords[u.Name]
		created, err := w.node.CreateUser(t.Context(), u, o)
		if err != nil {
			t.Fatalf("%s: %v", u.Name, err)
		}
		w.vars[u.Name+"-id"] = created.ID.String()
	}
	for _, c := range []node.NewClient{
		{ID: "svc", Name: "Service", Secret: passwords["svc"], Scope: []string{"profile", "notes"}},
		{ID: "spa", Name: "Browser"},
	} {
		if err := w.node.CreateClient(t.Context(), c, o); err != nil {
			t.Fatalf("%s: %v", c.ID, err)
		}
	}
	alice, root := w.login(t, "alice"), w.login(t, "root")
	w.vars["alice"], w.vars["alice-refresh"], w.vars["root"] = alice.AccessToken, alice.RefreshToken, root.AccessToken
	for _, u := range []string{"alice", "root", "mallory"} {
		w.vars[u+"-basic"] = base64.StdEncoding.EncodeToString([]byte(u + ":" + passwords[u]))
	}
	w.vars["svc-basic"] = base64.StdEncoding.EncodeToString([]byte("svc:" + passwords["svc"]))

	parts, others := strings.Split(alice.AccessToken, "."), strings.Split(root.AccessToken, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`))
	w.vars["alice-unsigned"] = parts[0] + "." + parts[1] + "."
	w.vars["alice-none"] = none + "." + parts[1] + "."
	w.vars["alice-altered"] = parts[0] + "." + others[1] + "." + parts[2]
}

func (w *world) login(t testing.TB, name string) node.Tokens {
	t.Helper()
	tokens, err := w.node.Login(t.Context(), node.LoginRequest{Name: name, Password: passwords[name]})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return tokens
}

// tokens returns n access tokens of as many sessions of alice.
func (w *world) tokens(t testing.TB, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = w.login(t, "alice").AccessToken
	}
	return list
}

// checkLog fails the test if anything secret was logged, on whatever level.
func (w *world) checkLog(t *testing.T) {
	t.Helper()
	logged := w.logged.String()
	if !strings.Contains(logged, "msg=request method=") {
		t.Error("no access log")
	}
	for name, secret := range passwords {
		if strings.Contains(logged, secret) {
			t.Errorf("the password of %s is in the log", name)
		}
	}
	for name, value := range w.vars {
		secret := value[strings.LastIndexByte(value, '.')+1:] // of a token the signature is enough
		if !strings.HasSuffix(name, "-id") && name != "session" && len(secret) > 20 && strings.Contains(logged, secret) {
			t.Errorf("%s is in the log", name)
		}
	}
}

// serve serves h on loopback until the test ends, and returns the address.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Server(l.Addr().String(), h)
	s.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelError)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return l.Addr().String()
}

// lockedBuffer is a buffer that several goroutines log to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
