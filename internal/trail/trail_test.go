package trail

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// answer is one answer of a scripted server.
type answer struct {
	status int
	header string // further headers, name and value by turns
	body   string
	cut    bool // the connection breaks after the body
}

// exchange is a server that gives the answers one after the other, and what it was asked.
type exchange struct {
	mu      sync.Mutex
	answers []answer
	asked   []string
}

func (x *exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	x.asked = append(x.asked, strings.TrimSpace(r.URL.RequestURI()+" "+r.Header.Get("Authorization")+" "+r.Header.Get("Last-Event-ID")))
	if len(x.answers) == 0 {
		x.mu.Unlock()
		w.WriteHeader(http.StatusTeapot)
		return
	}
	a := x.answers[0]
	x.answers = x.answers[1:]
	x.mu.Unlock()
	for name, value := range pairs(a.header) {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.status)
	fmt.Fprint(w, a.body)
	_ = http.NewResponseController(w).Flush()
	if a.cut {
		panic(http.ErrAbortHandler)
	}
}

func pairs(text string) map[string]string {
	m, fields := map[string]string{}, strings.Fields(text)
	for i := 0; i+1 < len(fields); i += 2 {
		m[fields[i]] = fields[i+1]
	}
	return m
}

func serve(t *testing.T, answers ...answer) (*exchange, *Client) {
	x := &exchange{answers: answers}
	s := httptest.NewServer(x)
	t.Cleanup(s.Close)
	return x, &Client{Base: s.URL}
}

// TestFollow: a stream that ends in any way goes on behind its last event; what is refused for good ends it.
func TestFollow(t *testing.T) {
	x, c := serve(t,
		answer{status: 503, header: "Retry-After 0", body: `{"detail":"not yet"}`},
		answer{status: 200, body: "retry: 1000\n:\nid: 4\n\nid: 7\ndata: {\"a\":1}\n\nid: 8\ndata: {", cut: true}, // in the middle of an event
		answer{status: 200, body: "retry: 1000\n:\nid: 7\n\nid: 8\ndata: {\"b\":2}\n\nevent: end\ndata: {\"reason\":\"slow\",\"last\":\"8\"}\n\n"},
		answer{status: 200, body: ":\nid: 20\n\n"}, // a heartbeat only, and an end that nobody announced
		answer{status: 200, body: "id: 21\r\ndata: x\r\n\r\nevent: end\ndata: {\"reason\":\"stopping\",\"last\":\"21\"}\n\n"},
		answer{status: 502},
	)
	var got []string
	lost, back := 0, 0
	c.Interrupted = func(why error) {
		if why == nil {
			back++
		} else {
			lost++
		}
	}
	err := c.Follow(t.Context(), url.Values{"type": {"revoked"}}, func(e Event) error {
		got = append(got, fmt.Sprintf("%d %s", e.Seq, e.JSON))
		return nil
	})
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Status != http.StatusTeapot {
		t.Errorf("it ended with %v", err)
	}
	if want := []string{`7 {"a":1}`, `8 {"b":2}`, "21 x"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	at := []string{"", "", " 7", " 8", " 20", " 21", " 21"}
	for i, asked := range x.asked {
		if want := "/events?type=revoked " + at[i]; strings.TrimSpace(asked) != strings.TrimSpace(want) {
			t.Errorf("request %d is %q, want %q", i, asked, want)
		}
	}
	if len(x.asked) != len(at) || lost != 6 || back != 4 {
		t.Errorf("%d requests; %d times interrupted, %d times going on", len(x.asked), lost, back)
	}
}

// TestFollowRefuses: what no replica sends ends it, as do the errors of whoever gets the events, a trimmed log and a bad request.
func TestFollowRefuses(t *testing.T) {
	stop := errors.New("enough")
	for body, want := range map[string]string{
		"id: 7\ndata: x\n\nid: 7\ndata: x\n\n":                          "event 7 came behind 7",
		"id: 7\ndata: x\n\nid: 6\ndata: x\n\n":                          "event 6 came behind 7",
		"id: x\ndata: x\n\n":                                            `this is no stream of Knell: id "x"`,
		"id: 9\ndata: stop\n\n":                                         "enough",
		"event: end\ndata: {\"reason\":\"trimmed\",\"last\":\"5\"}\n\n": "the log was trimmed faster than it was read; the last event was 5",
		"event: end\ndata: nothing\n\n":                                 `this is no stream of Knell: it ended with "nothing"`,
		"id: 1\ndata: " + strings.Repeat("x", longestLine+1) + "\n\n":   "418",
	} {
		_, c := serve(t, answer{status: 200, body: body})
		err := c.Follow(t.Context(), nil, func(e Event) error {
			if string(e.JSON) == "stop" {
				return stop
			}
			return nil
		})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", body, err, want)
		}
	}
	_, c := serve(t, answer{status: 410, body: `{"detail":"the log does not go back so far"}`})
	if err := c.Follow(t.Context(), nil, nil); err == nil || err.Error() != "410 Gone: the log does not go back so far" {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, c = serve(t, answer{status: 503}, answer{status: 503})
	c.Interrupted = func(error) { cancel() }
	if err := c.Follow(ctx, nil, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestTokens: a token that is refused is asked for again; the same one is not tried twice.
func TestTokens(t *testing.T) {
	x, c := serve(t, answer{status: 401}, answer{status: 200, body: `{"applied":7,"epoch":"e"}`}, answer{status: 401, body: `{"error_description":"expired"}`})
	tokens := []string{"old", "new", "new", "new", "new"}
	c.Authorization = func() (string, error) {
		token := tokens[0]
		tokens = tokens[1:]
		return token, nil
	}
	if p, err := c.End(t.Context()); err != nil || p != (Position{7, "e"}) {
		t.Error(p, err)
	}
	if _, err := c.End(t.Context()); err == nil || err.Error() != "401 Unauthorized: expired" {
		t.Error(err)
	}
	if want := []string{"/status old", "/status new", "/status new"}; !slices.Equal(x.asked, want) {
		t.Errorf("asked %q", x.asked)
	}
}

func line(seq int) string { return fmt.Sprintf(`{"sequence":"%020d","x":1}`+"\n", seq) }

// TestRead: pages to a given end; one that breaks off, or comes from a replica that is behind, is asked for again.
func TestRead(t *testing.T) {
	x, c := serve(t,
		answer{status: 200, header: "X-Knell-Cursor 5", body: line(2) + line(5)},
		answer{status: 200, header: "X-Knell-Cursor 9 Content-Length 1000", body: line(7)},
		answer{status: 200, header: "X-Knell-Cursor 5"},
		answer{status: 200, header: "X-Knell-Cursor 9", body: line(7)},
		answer{status: 200, header: "X-Knell-Cursor 13", body: line(10) + line(11)},
	)
	var got []uint64
	var to []uint64
	err := c.Read(t.Context(), url.Values{"type": {"x"}}, 1, 10, func(p Page) error {
		for _, e := range p.Events {
			got = append(got, e.Seq)
		}
		to = append(to, p.To)
		return nil
	})
	if err != nil || !slices.Equal(got, []uint64{2, 5, 7, 10}) || !slices.Equal(to, []uint64{5, 5, 9, 10}) {
		t.Errorf("%v: got %v, to %v", err, got, to)
	}
	want := []string{"after=1", "after=5", "after=5", "after=5", "after=9"}
	for i, asked := range x.asked {
		if i >= len(want) || asked != "/events?"+want[i]+"&limit=1000&type=x" {
			t.Errorf("request %d is %s", i, asked)
		}
	}
	for body, text := range map[string]string{
		line(3):               "event 3 came behind 5",
		line(7) + line(7):     "event 7 came behind 7",
		"<html>":              `"<html>" is no event of a replica`,
		`{"sequence":"x"}`:    `"{\"sequence\":\"x\"}" is no event of a replica`,
		`{"sequence":"000007`: `"{\"sequence\":\"000007" is no event of a replica`,
	} {
		_, c := serve(t, answer{status: 200, header: "X-Knell-Cursor 9", body: body})
		if err := c.Read(t.Context(), nil, 5, 9, func(Page) error { return nil }); err == nil || err.Error() != text {
			t.Errorf("%q: %v, want %s", body, err, text)
		}
	}
	_, c = serve(t, answer{status: 200, body: "hello"})
	if err := c.Read(t.Context(), nil, 5, 9, nil); err == nil || err.Error() != "this does not look like a replica of Knell" {
		t.Error(err)
	}
}

// TestNobodyThere: where nobody has answered, who asks soon hears that; where somebody has, it waits for longer.
func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c := &Client{Base: "http://" + address, Patience: time.Hour, Unknown: 10 * time.Millisecond}
	if _, err := c.End(t.Context()); err == nil || !strings.Contains(err.Error(), "gave up after 10ms") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody there: %v", err)
	}
	x := &exchange{answers: []answer{{status: 503}, {status: 503}, {status: 200, body: `{"applied":7,"epoch":"e"}`}}}
	server := httptest.NewServer(x)
	defer server.Close()
	c = &Client{Base: server.URL, Patience: time.Hour, Unknown: time.Nanosecond}
	if p, err := c.End(t.Context()); err != nil || p.Seq != 7 {
		t.Errorf("somebody who is starting: %+v, %v", p, err)
	}
}
