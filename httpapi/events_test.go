package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// auditStream is a client of GET /events at one replica of a cluster, on a connection in memory.
type auditStream struct {
	*cluster
	conn  net.Conn
	in    *bufio.Reader
	resp  *http.Response
	ended chan struct{}

	types []string // of what was read
	ids   []uint64
	last  map[string]string // data of the event "end"
	err   error             // that ended the reading
}

// auditors runs f in a bubble in which alice may read events.
func auditors(t *testing.T, cfg Config, f func(t *testing.T, c *cluster)) {
	replicas(t, cfg, func(t *testing.T, c *cluster) {
		o := node.Origin{Actor: "test"}
		if err := c.node.SetRoles(t.Context(), c.user.ID, nil, []string{"profile", "audit"}, o); err != nil {
			t.Fatal(err)
		}
		f(t, c)
	})
}

// connect opens a stream. token is an Authorization header; more are further header lines.
func (c *cluster) connect(at, target, token string, more ...string) *auditStream {
	c.t.Helper()
	s := &auditStream{cluster: c, ended: make(chan struct{})}
	server, client := net.Pipe()
	s.conn, s.in = client, bufio.NewReader(client)
	l := &oneConn{conn: server, closed: make(chan struct{})}
	hs := Server("", c.api[at])
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = hs.Serve(l)
	}()
	c.t.Cleanup(func() {
		client.Close()
		hs.Close()
		<-served
	})
	head := append([]string{"GET " + target + " HTTP/1.1", "Host: x", token, "Accept: text/event-stream"}, more...)
	if _, err := io.WriteString(client, strings.Join(head, "\r\n")+"\r\n\r\n"); err != nil {
		c.t.Fatal(err)
	}
	var err error
	if s.resp, err = http.ReadResponse(s.in, nil); err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	return s
}

// read reads the stream in the background, as WHATWG HTML section 9.2.6 says, until it ends.
func (s *auditStream) read() *auditStream {
	go func() {
		defer close(s.ended)
		lines := bufio.NewScanner(s.resp.Body)
		lines.Buffer(nil, events.MaxEvent+1000)
		id, typ, data := uint64(0), "", ""
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ":")
			value = strings.TrimPrefix(value, " ")
			switch {
			case lines.Text() == "" && typ == "end":
				_ = json.Unmarshal([]byte(data), &s.last)
			case lines.Text() == "" && data != "":
				var e struct{ Type, Sequence string }
				if err := json.Unmarshal([]byte(data), &e); err != nil || e.Sequence != fmt.Sprintf("%020d", id) {
					s.t.Errorf("event %d: %v in %s", id, err, data)
				}
				s.ids, s.types = append(s.ids, id), append(s.types, strings.TrimPrefix(e.Type, "knell."))
			case name == "id":
				id, _ = strconv.ParseUint(value, 10, 64)
			case name == "event":
				typ = value
			case name == "data":
				data = value
			}
			if lines.Text() == "" {
				typ, data = "", ""
			}
		}
		s.err = lines.Err()
	}()
	return s
}

// settled waits until everything that was done has been read.
func settled() {
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
}

// A stream has what happens at other replicas, in order, and ends with its token: when the logout has returned, nothing comes any
// more.
func TestEventStreamEndsWithToken(t *testing.T) {
	auditors(t, Config{}, func(t *testing.T, c *cluster) {
		token := c.login("a")
		synctest.Wait()
		s := c.connect("c", "/events?type=session,revoked", token)
		if h := s.resp.Header; s.resp.StatusCode != 200 || h.Get("Content-Type") != "text/event-stream" || h.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v", s.resp.StatusCode, h)
		}
		s.read()
		other := c.login("b")
		expect(t, call(c.api["b"], "POST", "/logout", "", other), 204)
		settled()
		if want := []string{"session.started", "revoked.session"}; !slices.Equal(s.types, want) {
			t.Errorf("read %v, want %v", s.types, want)
		}
		expect(t, call(c.api["b"], "POST", "/logout", "", token), 204)
		c.login("b")
		<-s.ended
		if slices.Contains(s.types[2:], "session.started") {
			t.Errorf("after the logout came %v", s.types[2:])
		}
	})
}

// A stream ends with the lease of its replica, though that cannot be told of a logout elsewhere.
func TestEventStreamEndsWithLease(t *testing.T) {
	auditors(t, Config{}, func(t *testing.T, c *cluster) {
		s := c.connect("c", "/events?after=0", c.login("a")).read()
		settled()
		got := len(s.ids)
		c.log["c"].Cut()
		<-s.ended
		if s.err == nil || got < 4 || len(s.ids) != got {
			t.Errorf("%d events, %d before the cut; the end was %v", len(s.ids), got, s.err)
		}
		w := call(c.api["c"], "GET", "/events", "", c.login("a"))
		expect(t, w, 503, "WWW-Authenticate: -")
		c.log["c"].Heal()
	})
}

// Who reconnects to another replica with the id of the last event misses nothing, and the header counts for more than the URL.
func TestEventStreamResumes(t *testing.T) {
	auditors(t, Config{}, func(t *testing.T, c *cluster) {
		token := c.login("a")
		all := c.connect("a", "/events?after=0", token).read()
		settled()
		first := c.connect("b", "/events?after=0", token).read()
		settled()
		first.conn.Close()
		<-first.ended
		for range 5 {
			c.login("b")
		}
		last := first.ids[len(first.ids)-1]
		second := c.connect("c", "/events?after=0", token, fmt.Sprintf("Last-Event-ID: %d", last)).read()
		settled()
		c.login("a")
		settled()
		if got := append(first.ids, second.ids...); !slices.Equal(got, all.ids) || len(second.ids) < 6 {
			t.Errorf("got %v and %v, want %v", first.ids, second.ids, all.ids)
		}
		// The same events have the same sequence, and the same text, at each replica.
		page := func(at string) string {
			return call(c.api[at], "GET", fmt.Sprintf("/events?limit=%d", len(all.ids)), "", token, "Accept: application/x-ndjson").Body.String()
		}
		if a := page("a"); strings.Count(a, "\n") != len(all.ids) || page("b") != a || page("c") != a {
			t.Errorf("replicas tell different events:\n%s\n%s\n%s", a, page("b"), page("c"))
		}
	})
}

// Heartbeats are comments that say how far the log has gone; they come also when nothing is for the client.
func TestEventStreamHeartbeat(t *testing.T) {
	auditors(t, Config{}, func(t *testing.T, c *cluster) {
		s := c.connect("a", "/events?type=revoked", c.login("a"))
		body := bufio.NewReader(s.resp.Body)
		line := func() string {
			text, err := body.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSuffix(text, "\n")
		}
		if got := line(); got != "retry: 1000" {
			t.Errorf("first line %q", got)
		}
		var before uint64
		for range 4 {
			began := time.Now()
			comment, id, end := line(), line(), line()
			seq, err := strconv.ParseUint(strings.TrimPrefix(id, "id: "), 10, 64)
			if comment != ":" || end != "" || err != nil || seq <= before {
				t.Errorf("heartbeat %q, %q, %q after %d", comment, id, end, before)
			}
			if took := time.Since(began); before > 0 && took != heartbeat {
				t.Errorf("a heartbeat after %v", took)
			}
			before = seq
			c.login("b")
		}
	})
}

// Over HTTP/2 a stream goes on as well, though nothing is written for longer than a write may take, and the server's limits have passed.
func TestEventStreamOverHTTP2(t *testing.T) {
	auditors(t, Config{}, func(t *testing.T, c *cluster) {
		server, client := net.Pipe()
		l := &oneConn{conn: server, closed: make(chan struct{})}
		hs := Server("", c.api["a"])
		hs.Protocols = new(http.Protocols)
		hs.Protocols.SetUnencryptedHTTP2(true)
		go hs.Serve(l)
		transport := &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil }, Protocols: hs.Protocols,
		}
		defer func() {
			transport.CloseIdleConnections()
			hs.Close()
		}()
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://x/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		name, value, _ := strings.Cut(c.login("a"), ": ")
		req.Header.Set(name, value)
		resp, err := transport.RoundTrip(req)
		if err != nil || resp.ProtoMajor != 2 {
			t.Fatal(resp, err)
		}
		s := (&auditStream{cluster: c, resp: resp, ended: make(chan struct{})}).read()
		time.Sleep(2 * time.Minute)
		c.login("b")
		settled()
		if !slices.Contains(s.types, "session.started") {
			t.Errorf("after two minutes the stream has %v, and ended with %v", s.types, s.err)
		}
		expect(t, call(c.api["b"], "POST", "/logout", "", name+": "+value), 204)
		if <-s.ended; s.err == nil {
			t.Error("a stream that was cut seems whole")
		}
	})
}

// A client that takes nothing is cut off; one that takes too little is told its last event. Neither delays anybody.
func TestEventStreamOfSlowClient(t *testing.T) {
	auditors(t, Config{}, func(t *testing.T, c *cluster) {
		token := c.login("a")
		stuck := c.connect("a", "/events?after=0", token) // reads nothing more
		synctest.Wait()
		began := time.Now()
		for range 10 {
			c.login("a")
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("ten log-ins beside a stream that is stuck took %v", took)
		}
		time.Sleep(2 * eventTimeout)
		synctest.Wait()
		if _, err := io.ReadAll(stuck.resp.Body); err == nil {
			t.Error("a stream that was cut seems whole")
		}
	})
	w := &scripted{err: &node.SlowError{Last: 17}}
	got := call(NewLocal(&following{scripted: w}, Config{}), "GET", "/events", "")
	expect(t, got, 200)
	if body := got.Body.String(); body != "retry: 1000\n:\nid: 9\n\nevent: end\ndata: {\"reason\":\"slow\",\"last\":\"17\"}\n\n" {
		t.Errorf("body %q", body)
	}
}

// following is a node whose streams begin, and end with its error.
type following struct{ *scripted }

func (f *following) FollowEvents(_ context.Context, _ node.EventQuery, _ time.Duration, deliver func(node.EventBatch) error) error {
	if err := deliver(node.EventBatch{To: 9}); err != nil {
		return err
	}
	return f.err
}

// A replica that stops says so in the last event, so that nobody waits for it.
func TestEventStreamEndsWithReplica(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	auditors(t, Config{Streams: ctx}, func(t *testing.T, c *cluster) {
		s := c.connect("a", "/events?after=0", c.login("a")).read()
		settled()
		stop()
		<-s.ended
		if s.err != nil || s.last["reason"] != "stopping" || s.last["last"] < fmt.Sprint(s.ids[len(s.ids)-1]) {
			t.Errorf("%v, the last event was %v", s.err, s.last)
		}
	})
}

// Positions that the log has not any more.
func TestEventsThatWereTrimmed(t *testing.T) {
	w := newWorld(t)
	root := "Authorization: Bearer " + w.vars["root"]
	w.log.Trim(9)
	for _, header := range []string{"Accept: application/x-ndjson", "Accept: text/event-stream", "Last-Event-ID: 3"} {
		got := call(w.handler, "GET", "/events?after=3", "", root, header)
		expect(t, got, 410, "Content-Type: application/problem+json")
		if !strings.Contains(got.Body.String(), "does not go back so far") {
			t.Errorf("%s: %s", header, got.Body)
		}
	}
	got := call(w.handler, "GET", "/events?after=0", "", root, "Accept: application/x-ndjson")
	expect(t, got, 200)
}

// Pages, one after the other by their links, have what a stream has.
func TestEventPages(t *testing.T) {
	w := newWorld(t)
	root := "Authorization: Bearer " + w.vars["root"]
	w.tokens(t, 10)
	var want, got []string
	for _, m := range w.log.Messages() {
		if events.AccessTo(m.Subject) == events.Public {
			want = append(want, fmt.Sprintf("%020d", m.Seq))
		}
	}
	for target := "/events?limit=7"; target != ""; {
		page := call(w.handler, "GET", target, "", root, "Accept: application/x-ndjson")
		expect(t, page, 200, "Content-Type: application/x-ndjson")
		lines := strings.Split(strings.TrimSuffix(page.Body.String(), "\n"), "\n")
		for _, line := range lines {
			var e struct{ Sequence string }
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			got = append(got, e.Sequence)
		}
		link := page.Header().Get("Link")
		if target = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`); target != "" && len(lines) != 7 {
			t.Errorf("a page of %d events has another one behind it", len(lines))
		}
		if cursor := page.Header().Get(headerCursor); target != "" && !strings.Contains(link, "after="+cursor+"&") {
			t.Errorf("cursor %s, link %s", cursor, link)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What clients accept.
func TestEventMediaTypes(t *testing.T) {
	for accept, want := range map[string]string{
		"": "stream", "*/*": "stream", "text/event-stream": "stream", "text/html, */*;q=0.1": "stream", "application/x-ndjson": "page",
		"application/json, Application/X-NDJSON;q=0.9": "page", "application/*": "page", "application/x-ndjson, text/event-stream": "stream",
		"application/json": "", "text/html": "", ",": "",
	} {
		var list []string
		if accept != "" {
			list = []string{accept}
		}
		page, ok := acceptsPage(list)
		got := map[bool]string{true: "page", false: "stream"}[page]
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("%q: %q, want %q", accept, got, want)
		}
	}
}
