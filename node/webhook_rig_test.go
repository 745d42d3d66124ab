package node

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hookTarget is a server to which webhooks are sent, in the bubble: connections are pipes.
type hookTarget struct {
	t      *testing.T
	conns  chan net.Conn
	closed chan struct{}

	mu     sync.Mutex
	secret map[string]string // by path: the secret of the webhook
	answer func(h hit) (status int, header string)
	gate   chan struct{} // an answer takes an element; nil: none waits
	got    []hit         // in the order in which they came, whatever was answered
}

// hit is one attempt.
type hit struct {
	path, id string
	at       time.Time
	took     bool // it was answered with success
	signed   int  // by how many keys
	agent    string
	body     string
	found
}

// Accept implements net.Listener.
func (h *hookTarget) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *hookTarget) Close() error { return nil }

// Addr implements net.Listener.
func (h *hookTarget) Addr() net.Addr { return &net.TCPAddr{} }

func (h *hookTarget) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case h.conns <- far:
		return near, nil
	case <-h.closed:
	case <-ctx.Done():
	}
	return nil, &net.OpError{Op: "dial", Err: net.ErrClosed}
}

// ServeHTTP implements http.Handler.
func (h *hookTarget) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	got := hit{path: r.URL.Path, id: r.Header.Get("Webhook-Id"), at: time.Now(), body: string(body), agent: r.UserAgent()}
	if err != nil || json.Unmarshal(body, &got.found) != nil {
		return // cut off
	}
	var envelope struct{ ID string }
	if err := json.Unmarshal(body, &envelope); err != nil || envelope.ID != got.id || r.Header.Get("Content-Type") != "application/cloudevents+json" {
		h.t.Errorf("%v: id %s, headers %v", err, envelope.ID, r.Header)
	}
	h.mu.Lock()
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(h.secret[got.path], "whsec_"))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(got.id + "." + r.Header.Get("Webhook-Timestamp") + "." + got.body))
	signatures := strings.Fields(r.Header.Get("Webhook-Signature"))
	got.signed = len(signatures)
	good := false
	for _, s := range signatures {
		good = good || s == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	if !good && h.secret[got.path] != "" {
		h.t.Errorf("%s: signatures %v", got.path, signatures)
	}
	status, header := http.StatusNoContent, ""
	if h.answer != nil {
		status, header = h.answer(got)
	}
	got.took = status < 300
	h.got = append(h.got, got)
	gate := h.gate
	h.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-r.Context().Done():
			return
		}
	}
	if name, value, ok := strings.Cut(header, ": "); ok {
		w.Header().Set(name, value)
	}
	w.WriteHeader(status)
}

// hits returns what has come for a path, and what of it was taken.
func (h *hookTarget) hits(path string) (all, taken []hit) {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, g := range h.got {
		if g.path != path {
			continue
		}
		if all = append(all, g); g.took {
			taken = append(taken, g)
		}
	}
	return all, taken
}

// answers sets what is answered from now on; nil: 204.
func (h *hookTarget) answers(f func(hit) (int, string)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = f
}

func status(code int) func(hit) (int, string) { return func(hit) (int, string) { return code, "" } }

// withTarget runs f with replicas a, b and c, the user alice and a target, in fake time. edit may be nil.
func withTarget(t *testing.T, names string, edit func(*Config), f func(t *testing.T, r *rig, h *hookTarget)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &hookTarget{t: t, conns: make(chan net.Conn), closed: make(chan struct{}), secret: map[string]string{}}
		server := &http.Server{Handler: h}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = server.Serve(h)
		}()
		defer func() {
			close(h.closed)
			server.Close()
			<-done
		}()
		r := newRig(t)
		r.edit = func(c *Config) {
			c.Limits.Webhooks.dial, c.Version = h.dial, c.Name // which the agent says
			if edit != nil {
				edit(c)
			}
		}
		for _, name := range strings.Fields(names) {
			r.start(name)
		}
		r.user("alice", alicePassword)
		f(t, r, h)
		for _, n := range r.nodes { // before the target ends
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			n.Close(ctx)
			cancel()
		}
	})
}

// hook creates a webhook at replica a whose path is its name, and returns after which sequence events are sent.
func (r *rig) hook(h *hookTarget, name string, edit ...func(*NewWebhook)) (after uint64) {
	r.t.Helper()
	nw := NewWebhook{
		Name: name, URL: "http://target.test/" + name + "?token=in-the-address", Private: true, After: r.nodes["a"].hot.applied.Load(),
	}
	for _, f := range edit {
		f(&nw)
	}
	secret, err := r.nodes["a"].CreateWebhook(context.Background(), nw, Origin{Actor: "local"})
	if err != nil {
		r.t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.secret["/"+nw.Name] = secret
	return nw.After
}

// deliverer returns the name of the replica that delivers.
func (r *rig) deliverer(name string) string {
	r.t.Helper()
	for range 100 {
		for _, n := range r.nodes {
			if w, err := n.Webhook(name); err == nil && r.nodes[w.Delivering] != nil {
				return w.Delivering
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.t.Fatal("nobody delivers")
	return ""
}

// hookOf returns a webhook as a replica has it.
func hookOf(n *Node, name string) hook {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return *n.state.hooks[name]
}

// other returns a replica that is not this one.
func (r *rig) other(than string) string {
	for _, name := range []string{"a", "b", "c"} {
		if name != than && r.nodes[name] != nil {
			return name
		}
	}
	r.t.Fatal("no other replica")
	return ""
}

// inOrder fails the test unless what came is what a reader of the log finds for q: nothing left out, nothing for the first time
// before what precedes it, and again only with the same id. It returns how many came more than once.
func (r *rig) inOrder(h *hookTarget, name string, q EventQuery) (again int) {
	r.t.Helper()
	_, taken := h.hits("/" + name)
	var want []found
	for _, n := range r.nodes {
		want = page(r.t, n, q, 1000).got
		break
	}
	var first []found
	ids := map[uint64]string{}
	for _, g := range taken {
		seq := must(parseSeq(g.Sequence))(r.t)
		if id, known := ids[seq]; known {
			if again++; id != g.id {
				r.t.Errorf("event %d came as %s and as %s", seq, id, g.id)
			}
			continue
		}
		ids[seq] = g.id
		g.seq = seq
		first = append(first, g.found)
	}
	if len(first) != len(want) {
		r.t.Errorf("%s: %d events came, %d are in the log after %d", name, len(first), len(want), q.After)
	}
	for i := range min(len(first), len(want)) {
		if first[i] != want[i] {
			r.t.Fatalf("%s: event %d is %+v, want %+v", name, i, first[i], want[i])
		}
	}
	return again
}

// pass lets time go by in the bubble, and everything come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
