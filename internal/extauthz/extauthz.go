// Package extauthz answers Envoy's question whether a request may pass (envoy.service.auth.v3.Authorization, over gRPC) with what
// an HTTP handler answers to the same request at /verify. It owns the translation between the two, the gRPC server and the health
// service (grpc.health.v1). It does not know what a credential is: whatever the handler accepts or refuses, Envoy does too.
package extauthz

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
)

// Server answers Envoys. Its methods are safe for concurrent use.
type Server struct {
	handler http.Handler
	grpc    *grpc.Server
}

// minPing is how often a client may ask whether the connection is alive; grpc's own 5 minutes would throw Envoys out that are set up
// to notice a dead replica.
const minPing = time.Second

// New returns a server that asks handler: GET /verify with the headers of the request, its address as the remote one, and the
// context extensions of the route, which the proxy sets and a client cannot, as the query; GET /readyz for the health service. It
// serves nothing yet.
func New(handler http.Handler) *Server {
	s := &Server{handler: handler}
	s.grpc = grpc.NewServer(grpc.ForceServerCodecV2(codec{}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}))
	s.grpc.RegisterService(&service, s)
	grpc_health_v1.RegisterHealthServer(s.grpc, &health{handler: handler})
	return s
}

// Serve accepts connections from l, which it closes, until Shutdown: then it returns nil.
func (s *Server) Serve(l net.Listener) error {
	if err := s.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("extauthz: %w", err)
	}
	return nil
}

// Shutdown answers what has been asked, and returns when that is done or, with the connections cut, when ctx ends.
func (s *Server) Shutdown(ctx context.Context) {
	stop := context.AfterFunc(ctx, s.grpc.Stop)
	defer stop()
	s.grpc.GracefulStop()
}

// service describes Authorization as its generated code would.
var service = grpc.ServiceDesc{
	ServiceName: "envoy.service.auth.v3.Authorization",
	HandlerType: (*checker)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Check", Handler: serveCheck}},
	Metadata:    "envoy/service/auth/v3/external_auth.proto",
}

// checker is what service needs; *Server is one.
type checker interface {
	check(ctx context.Context, in *checkRequest) *checkResponse
}

func serveCheck(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var in checkRequest
	if err := decode(&in); err != nil {
		return nil, err
	}
	return srv.(checker).check(ctx, &in), nil
}

// check asks the handler. Every answer but 200 is a denial with that answer's status, headers and body: never an error of gRPC,
// which Envoy would let pass where it is configured to (failure_mode_allow).
func (s *Server) check(ctx context.Context, in *checkRequest) *checkResponse {
	a := ask(ctx, s.handler, &http.Request{
		URL: &url.URL{Path: "/verify", RawQuery: in.extensions.Encode()}, Header: in.header, Host: in.host, RemoteAddr: in.remote,
	})
	if a.status != http.StatusOK {
		return &checkResponse{code: codeOf(a.status), status: a.status, headers: a.header, body: string(a.body)}
	}
	out := &checkResponse{code: codes.OK, headers: http.Header{}}
	for name, values := range a.header {
		switch {
		case !isIdentity(name):
		case len(values) == 1 && values[0] != "":
			out.headers[name] = values
		default: // Envoy may drop a header without a value, and leave what the client had made up
			out.remove = append(out.remove, name)
		}
	}
	for _, name := range in.identity {
		// Envoy sets first and removes then: what is set must not be among what is removed.
		if out.headers[http.CanonicalHeaderKey(name)] == nil {
			out.remove = append(out.remove, name)
		}
	}
	return out
}

// codeOf returns the status of gRPC for a denial; Envoy only looks whether it is OK.
func codeOf(status int) codes.Code {
	switch status {
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	case http.StatusTooManyRequests:
		return codes.ResourceExhausted
	}
	return codes.PermissionDenied
}

// answer is what the handler says.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, p...)
	return len(p), nil
}

// ask returns what the handler answers to a GET.
func ask(ctx context.Context, h http.Handler, r *http.Request) *answer {
	r.Method, r.Proto, r.ProtoMajor, r.ProtoMinor, r.Body = http.MethodGet, "HTTP/1.1", 1, 1, http.NoBody
	if r.Header == nil {
		r.Header = http.Header{}
	}
	a := &answer{header: http.Header{}}
	h.ServeHTTP(a, r.WithContext(ctx))
	a.WriteHeader(http.StatusOK)
	return a
}

// health is grpc.health.v1 for load balancers: serving while /readyz says so, whatever the name of the service. Watch is not
// implemented, as the specification allows.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	handler http.Handler
}

// Check implements grpc_health_v1.HealthServer.
func (h *health) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	status := grpc_health_v1.HealthCheckResponse_NOT_SERVING
	if ask(ctx, h.handler, &http.Request{URL: &url.URL{Path: "/readyz"}}).status == http.StatusOK {
		status = grpc_health_v1.HealthCheckResponse_SERVING
	}
	return &grpc_health_v1.HealthCheckResponse{Status: status}, nil
}
