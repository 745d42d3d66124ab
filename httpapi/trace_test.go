package httpapi

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/knell-auth/knell/internal/tracing"
	"github.com/knell-auth/knell/node"
)

// receiver is an OTLP/HTTP receiver that is reached through memory, so that it can be in a bubble.
type receiver struct {
	t      *testing.T
	conns  chan net.Conn
	client *http.Client

	mu    sync.Mutex
	spans []span
}

// span is a span as it was received.
type span struct {
	trace, parent, id string
	name, replica     string // replica: that sent it
	attributes        map[string]string
	links             []string // to traces
	began, ended      time.Time
}

// Accept implements net.Listener.
func (r *receiver) Accept() (net.Conn, error) {
	if c, ok := <-r.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (r *receiver) Close() error   { return nil }
func (r *receiver) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// newReceiver serves until the test ends.
func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t, conns: make(chan net.Conn)}
	server := &http.Server{Handler: r}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(r) })
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		client, conn := net.Pipe()
		r.conns <- conn
		return client, nil
	}}
	r.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		close(r.conns)
		server.Close()
		serving.Wait()
	})
	return r
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	var m collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &m)
	}
	if err != nil || q.URL.Path != "/v1/traces" || q.Header.Get("Content-Type") != "application/x-protobuf" {
		r.t.Errorf("%s %v: %v", q.URL.Path, q.Header, err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range m.ResourceSpans {
		replica := ""
		for _, a := range of.Resource.Attributes {
			if a.Key == "service.instance.id" {
				replica = a.Value.GetStringValue()
			}
		}
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				got := span{trace: hex.EncodeToString(s.TraceId), parent: hex.EncodeToString(s.ParentSpanId), id: hex.EncodeToString(s.SpanId), name: s.Name, replica: replica,
					attributes: map[string]string{}, began: time.Unix(0, int64(s.StartTimeUnixNano)), ended: time.Unix(0, int64(s.EndTimeUnixNano))}
				for _, a := range s.Attributes {
					got.attributes[a.Key] = a.Value.GetStringValue()
				}
				for _, l := range s.Links {
					got.links = append(got.links, hex.EncodeToString(l.TraceId))
				}
				r.spans = append(r.spans, got)
			}
		}
	}
}

// of returns an attribute.
func (s *span) of(key string) string { return s.attributes[key] }

// tracer returns the tracer of a replica.
func (r *receiver) tracer(name string) *tracing.Tracer {
	t, err := tracing.New(r.t.Context(), tracing.Config{Endpoint: "http://otel.test", Instance: name, Version: "test", Client: r.client})
	if err != nil {
		r.t.Fatal(err)
	}
	return t
}

// below returns the spans below another one, as "name replica" or, of a wait, "name replica for whom".
func (r *receiver) below(parent string) (list []string) {
	for _, s := range r.spans {
		if s.parent != parent {
			continue
		}
		text := s.name + " " + s.replica
		if s.name == "barrier wait" {
			text += " for " + s.of("knell.replica")
		}
		if event := s.of("knell.event"); event != "" {
			text += " " + event
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return list
}

const (
	testTrace  = "0af7651916cd43dd8448eb211c80319c"
	testParent = "b7ad6b7169203331"
)

// Log in at one replica and log out at another, both in one trace of a client's: the trace has what the requests, the log and every replica
// did. What the client did not sample makes no span and no longer event; without a tracer nothing is made of any traceparent.
func TestTraceAcrossReplicas(t *testing.T) {
	var in *receiver
	tracers := map[string]*tracing.Tracer{}
	logged := &lockedBuffer{}
	synctest.Test(t, func(t *testing.T) {
		in = newReceiver(t)
		c := newCluster(t, func(name string, n *node.Config, h *Config) {
			h.Logger, h.AccessLog = slog.New(slog.NewTextHandler(logged, nil)), true
			h.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
			if name == "c" {
				return // does not trace
			}
			tracers[name] = in.tracer(name)
			n.Tracer, h.Tracer = tracers[name], tracers[name]
		})
		sampled := "Traceparent: 00-" + testTrace + "-" + testParent + "-01"
		silent := "Traceparent: 00-1af7651916cd43dd8448eb211c80319c-" + testParent + "-00"
		token := c.login("a", sampled)
		expect(t, call(c.api["b"], "GET", "/verify", "", token, sampled), 200)
		c.verified("a", token, 200)
		expect(t, call(c.api["a"], "POST", "/logout", "", c.login("b", silent), silent), 204)
		before := len(c.memory.Messages())
		expect(t, call(c.api["c"], "POST", "/logout", "", c.login("c", sampled), sampled), 204)
		for _, m := range c.memory.Messages()[before:] {
			if strings.Contains(string(m.Data), "traceparent") {
				t.Errorf("a replica that does not trace wrote %s", m.Data)
			}
		}
		c.log["c"].Cut() // the logout waits for the end of its lease
		expect(t, call(c.api["b"], "POST", "/logout", "", token, sampled), 204)
		c.log["c"].Heal()
		synctest.Wait()
		for _, tracer := range tracers {
			if err := tracer.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		checkTrace(t, in, c)
	})
	for _, part := range []string{"method=POST route=/logout status=204", "request_id=", "trace_id=" + testTrace, "route=/verify status=200"} {
		if !strings.Contains(logged.String(), part) {
			t.Errorf("no %q in the access log:\n%s", part, logged)
		}
	}
}

func checkTrace(t *testing.T, in *receiver, c *cluster) {
	t.Helper()
	login, logout := "", ""
	for _, s := range in.spans {
		if s.trace != testTrace {
			t.Errorf("a span of another trace: %+v", s)
		}
		if s.ended.Before(s.began) {
			t.Errorf("%s ends before it begins", s.name)
		}
		if s.name == "barrier wait" && s.of("knell.replica") == "c" && (s.of("knell.outcome") != "lease ended" || s.ended.Sub(s.began) < time.Second) {
			t.Errorf("the wait for who is cut off: %+v", s)
		}
		switch s.name {
		case "POST /token":
			login = s.id
		case "POST /logout":
			logout = s.id
		}
	}
	for parent, want := range map[string]string{
		testParent: "GET /verify b|POST /logout b|POST /token a",
		login: "append a attempt.started|append a session.started|applied b attempt.started|applied b session.started|" +
			"apply a attempt.started|apply a session.started",
		logout: "append b revoked.session|applied a revoked.session|apply b revoked.session|barrier b|barrier wait b for c",
	} {
		list := strings.Split(want, "|")
		slices.Sort(list)
		// The other one may have said that it follows before this one had got so far.
		got := slices.DeleteFunc(in.below(parent), func(s string) bool { return s == "barrier wait b for a" })
		if !slices.Equal(got, list) {
			t.Errorf("below %s:\n%s\nwant\n%s", parent, strings.Join(got, "\n"), strings.Join(list, "\n"))
		}
	}
	events := 0
	for _, m := range c.memory.Messages() {
		if strings.Contains(string(m.Data), `"traceparent":"00-`+testTrace+"-"+login+`-01"`) || strings.Contains(string(m.Data), testTrace+"-"+logout) {
			events++
		} else if strings.Contains(string(m.Data), "traceparent") {
			t.Errorf("not sampled: %s", m.Data)
		}
	}
	if events != 3 {
		t.Errorf("%d events carry the trace, want 3", events)
	}
}

// What a client that is no trusted proxy says of a trace decides nothing: neither that a request is traced, nor that it is not, nor in
// which trace. The two are linked.
func TestTraceOfStrangers(t *testing.T) {
	const proxy = "192.0.2.0/24"
	ask := func(t *testing.T, proxies, sampler, flags string) []span {
		t.Setenv("OTEL_TRACES_SAMPLER", sampler)
		in, w, cfg := newReceiver(t), newWorld(t), Config{Logger: slog.New(slog.DiscardHandler)}
		if proxies != "" {
			cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(proxies)}
		}
		tracer := in.tracer("n1")
		cfg.Tracer = tracer
		h := New(w.node, cfg)
		header := "Traceparent: 00-" + testTrace + "-" + testParent + "-" + flags
		expect(t, call(h, "GET", "/users", "", header), 401)
		expect(t, call(h, "GET", "/verify", "", header), 401)
		if err := tracer.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		return in.spans
	}
	for _, c := range []struct {
		name, proxies, sampler, flags string
		spans                         int
	}{
		{"a proxy's that is sampled", proxy, "parentbased_always_off", "01", 2},
		{"a proxy's that is not", proxy, "parentbased_always_on", "00", 0},
		{"a stranger's that is sampled", "", "parentbased_always_off", "01", 0},
		{"a stranger's that is not", "", "parentbased_always_on", "00", 1}, // none of /verify
	} {
		t.Run(c.name, func(t *testing.T) {
			spans := ask(t, c.proxies, c.sampler, c.flags)
			if len(spans) != c.spans {
				t.Fatalf("%d spans, want %d: %+v", len(spans), c.spans, spans)
			}
			for _, s := range spans {
				believed := c.proxies != ""
				if (s.trace == testTrace) != believed || (s.parent == testParent) != believed || slices.Contains(s.links, testTrace) == believed {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}
