package extauthz_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	"github.com/knell-auth/knell/internal/extauthz"
)

// serve serves h to Envoys until the test ends, and returns a connection to it.
func serve(t testing.TB, h http.HandlerFunc) *grpc.ClientConn {
	t.Helper()
	s := extauthz.New(h)
	return connect(t, s.Serve, s.Shutdown)
}

// connect runs a server on loopback until the test ends, and returns a connection to it.
func connect(t testing.TB, serve func(net.Listener) error, stop func(context.Context)) *grpc.ClientConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		stop(context.Background())
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return conn
}

// request is a question of Envoy's, made by the code that is generated from Envoy's own definitions.
func request(headers, extensions map[string]string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: "192.0.2.7", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 4711}},
		}}},
		Destination: &authv3.AttributeContext_Peer{Principal: "spiffe://somebody"},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Id: "1", Method: "DELETE", Path: "/notes/1?x=y", Host: "api.example.com", Scheme: "https", Protocol: "HTTP/2", Size: -1,
			Headers: headers, Body: "a body",
		}},
		ContextExtensions: extensions,
	}}
}

func check(t testing.TB, conn *grpc.ClientConn, in *authv3.CheckRequest) *authv3.CheckResponse {
	t.Helper()
	out, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if unknown := out.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		t.Errorf("unknown fields: %x", unknown)
	}
	return out
}

// list returns headers as "name: value", sorted, with + where they are added to what is there.
func list(headers []*corev3.HeaderValueOption) (lines []string) {
	for _, h := range headers {
		sign := ""
		//lint:ignore SA1019 all versions of Envoy's filter read it, and only new ones its successor.
		switch added := h.Append; {
		case added == nil:
			sign = "?"
		case added.Value:
			sign = "+"
		}
		lines = append(lines, sign+h.Header.Key+": "+h.Header.Value)
	}
	slices.Sort(lines)
	return lines
}

// The handler sees the request as it was, at its own path, with the demands of the route and without what only Knell may say.
func TestAsksHandler(t *testing.T) {
	var seen *http.Request
	conn := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen = r })
	headers := map[string]string{
		":path": "/notes/1", "authorization": "Bearer abc", "x-forwarded-for": "192.0.2.7", "empty": "",
		"x-knell-user": "root", "x_knell_scopes": "admin", "x-knell_roles": "operator", "x-knell-require-scope": "none", "x-knell": "kept",
	}
	check(t, conn, request(headers, map[string]string{"scope": "notes profile", "role": "a&b=c"}))
	if seen.Method != "GET" || seen.URL.Path != "/verify" || seen.RemoteAddr != "192.0.2.7:4711" || seen.Host != "api.example.com" {
		t.Errorf("%s %s from %s for %s", seen.Method, seen.URL, seen.RemoteAddr, seen.Host)
	}
	if q := seen.URL.Query(); q.Get("scope") != "notes profile" || q.Get("role") != "a&b=c" || len(q) != 2 {
		t.Errorf("query %v", q)
	}
	want := http.Header{"Authorization": {"Bearer abc"}, "X-Forwarded-For": {"192.0.2.7"}, "Empty": {""}, "X-Knell": {"kept"}}
	if fmt.Sprint(seen.Header) != fmt.Sprint(want) {
		t.Errorf("headers %v, want %v", seen.Header, want)
	}

	// Envoy may send the headers as they came, one by one (encode_raw_headers).
	in := request(nil, nil)
	in.Attributes.Request.Http.HeaderMap = &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
		{Key: "authorization", RawValue: []byte("Bearer abc")}, {Key: "authorization", RawValue: []byte("Basic \xff")},
	}}
	in.Attributes.Source = nil
	check(t, conn, in)
	if got := seen.Header["Authorization"]; !slices.Equal(got, []string{"Bearer abc", "Basic \xff"}) || seen.RemoteAddr != "" || seen.URL.RawQuery != "" {
		t.Errorf("headers %q from %q, query %q", got, seen.RemoteAddr, seen.URL.RawQuery)
	}
}

// A request that may pass gets what the handler says, and loses everything alike that the client had made up.
func TestPass(t *testing.T) {
	conn := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range map[string]string{
			"X-Knell-User": "u1", "X-Knell-Scopes": "notes profile", "X-Knell-Roles": "", "X-Knell-Session": "s1", "Cache-Control": "no-store",
		} {
			w.Header().Set(name, value)
		}
	})
	out := check(t, conn, request(map[string]string{
		"x-knell-user": "root", "x_knell_user": "root", "x.knell!roles": "root", "x-knell-roles": "operator", "x-knell-else": "x", "authorization": "Bearer abc",
	}, nil))
	ok := out.GetOkResponse()
	if ok == nil || out.Status == nil || out.Status.Code != int32(codes.OK) {
		t.Fatalf("answer %v", out)
	}
	if got := list(ok.Headers); !slices.Equal(got, []string{"x-knell-scopes: notes profile", "x-knell-session: s1", "x-knell-user: u1"}) {
		t.Errorf("set: %q", got)
	}
	remove := slices.Compact(slices.Sorted(slices.Values(ok.HeadersToRemove)))
	if !slices.Equal(remove, []string{"x-knell-else", "x-knell-roles", "x.knell!roles", "x_knell_user"}) {
		t.Errorf("removed: %q", remove)
	}
}

// A denial is the handler's answer.
func TestDenial(t *testing.T) {
	var status int
	conn := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Www-Authenticate"] = []string{"Bearer", "Basic"}
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Content-Length", "9")
		w.Header().Set("X-Knell-User", "nobody")
		w.WriteHeader(status)
		fmt.Fprint(w, `{"no":"!"}`)
	})
	for s, code := range map[int]codes.Code{
		401: codes.Unauthenticated, 403: codes.PermissionDenied, 503: codes.Unavailable, 429: codes.ResourceExhausted, 400: codes.PermissionDenied, 500: codes.PermissionDenied,
		204: codes.PermissionDenied, 302: codes.PermissionDenied,
	} {
		status = s
		out := check(t, conn, request(nil, nil))
		denied := out.GetDeniedResponse()
		if denied == nil || out.Status.Code != int32(code) || int(denied.Status.Code) != s || denied.Body != `{"no":"!"}` {
			t.Errorf("%d: %v", s, out)
			continue
		}
		want := []string{"+www-authenticate: Basic", "retry-after: 1", "www-authenticate: Bearer", "x-knell-user: nobody"}
		if got := list(denied.Headers); !slices.Equal(got, want) {
			t.Errorf("%d: headers %q", s, got)
		}
	}
}

// Whoever asks whether the server is well hears what /readyz says.
func TestHealth(t *testing.T) {
	status := http.StatusServiceUnavailable
	conn := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asked %s", r.URL)
		}
		w.WriteHeader(status)
	})
	for s, want := range map[int]grpc_health_v1.HealthCheckResponse_ServingStatus{
		503: grpc_health_v1.HealthCheckResponse_NOT_SERVING, 200: grpc_health_v1.HealthCheckResponse_SERVING,
	} {
		status = s
		out, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		if err != nil || out.Status != want {
			t.Errorf("%d: %v, %v", s, out, err)
		}
	}
}

// What is no CheckRequest is an error, and asks nobody.
func TestMalformed(t *testing.T) {
	conn := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	whole, err := proto.Marshal(request(map[string]string{"authorization": "Bearer abc"}, map[string]string{"scope": "notes"}))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]string{"cut": string(whole[:len(whole)-3]), "tag": "\xff\xff", "group": "\x0b", "inside": "\x0a\x02\x22\x05"} {
		var out authv3.CheckResponse
		err := conn.Invoke(t.Context(), authv3.Authorization_Check_FullMethodName, []byte(b), &out, grpc.ForceCodec(verbatim{}))
		if err == nil || !strings.Contains(err.Error(), "malformed") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// verbatim sends bytes as they are.
type verbatim struct{}

func (verbatim) Marshal(v any) ([]byte, error)   { return v.([]byte), nil }
func (verbatim) Unmarshal(b []byte, v any) error { return proto.Unmarshal(b, v.(proto.Message)) }
func (verbatim) Name() string                    { return "proto" }

// empty is an authorization service of Envoy's own code that lets everything pass.
type empty struct {
	authv3.UnimplementedAuthorizationServer
}

func (empty) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{}, nil
}

// BenchmarkCheck measures a check over loopback beside one by generated code that looks at nothing, one after the other and from
// 64 at once. The client is the same.
func BenchmarkCheck(b *testing.B) {
	g := grpc.NewServer()
	authv3.RegisterAuthorizationServer(g, empty{})
	services := []struct {
		name string
		conn *grpc.ClientConn
	}{
		{"empty", connect(b, g.Serve, func(context.Context) { g.Stop() })},
		{"knell", serve(b, func(w http.ResponseWriter, _ *http.Request) {
			for _, name := range []string{"X-Knell-User", "X-Knell-Scopes", "X-Knell-Roles", "X-Knell-Session"} {
				w.Header()[name] = []string{"abcdefghijklmnopqrstuvwxyz"}
			}
		})},
	}
	headers := map[string]string{"authorization": "Bearer " + strings.Repeat("a", 670)}
	for _, name := range strings.Fields(":authority :method :path :scheme accept accept-encoding accept-language user-agent x-forwarded-for x-forwarded-proto x-request-id") {
		headers[name] = "some value of a usual length"
	}
	in := request(headers, map[string]string{"scope": "notes"})
	for _, s := range services {
		client := authv3.NewAuthorizationClient(s.conn)
		b.Run("one/"+s.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := client.Check(b.Context(), in); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("many/"+s.name, func(b *testing.B) {
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := client.Check(b.Context(), in); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
