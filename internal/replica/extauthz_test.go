package replica

import (
	"context"
	"net"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/knell-auth/knell/node"
)

// askAs asks as Envoy does about a request with a token, whose sender claims to be somebody.
func askAs(t *testing.T, conn *grpc.ClientConn, token string, extensions map[string]string) *authv3.CheckResponse {
	t.Helper()
	out, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "POST", Headers: map[string]string{"authorization": "Bearer " + token, "x-knell-user": "root", "x-knell-roles": "admin"},
		}},
		ContextExtensions: extensions,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// health asks the health service.
func health(t *testing.T, conn *grpc.ClientConn) grpc_health_v1.HealthCheckResponse_ServingStatus {
	t.Helper()
	out, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return out.Status
}

// TestExtAuthz: Envoy gets of a replica what its HTTP clients get: nothing before it is ready, then passes and denials by the
// token and the demands of the route, and nothing of a token that was logged out.
func TestExtAuthz(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cfg := standalone(t, t.TempDir())
	cfg.ExtAuthz = l
	r := start(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := r.Node().CreateUser(ctx, node.NewUser{Name: "alice", Password: "wonderland-1865", Scope: []string{"notes"}}, node.Origin{}); err != nil {
		t.Fatal(err)
	}
	tok, err := r.Node().Login(ctx, node.LoginRequest{Name: "alice", Password: "wonderland-1865"})
	if err != nil {
		t.Fatal(err)
	}
	check := func(want codes.Code, token string, extensions map[string]string) *authv3.CheckResponse {
		t.Helper()
		out := askAs(t, conn, token, extensions)
		if codes.Code(out.Status.Code) != want {
			t.Errorf("%v: %v, want %v", extensions, out, want)
		}
		return out
	}
	out := check(codes.OK, tok.AccessToken, map[string]string{"scope": "notes"})
	set := map[string]string{}
	for _, h := range out.GetOkResponse().GetHeaders() {
		set[h.Header.Key] = h.Header.Value
	}
	if set["x-knell-scopes"] != "notes" || set["x-knell-session"] != tok.Session.String() || set["x-knell-user"] == "root" || len(set) != 3 {
		t.Errorf("headers %v", set)
	}
	check(codes.OK, tok.AccessToken, nil)
	check(codes.PermissionDenied, tok.AccessToken, map[string]string{"scope": "admin"})
	check(codes.PermissionDenied, tok.AccessToken, map[string]string{"role": "admin"})
	if out := check(codes.PermissionDenied, tok.AccessToken, map[string]string{"scopes": "notes"}); out.GetDeniedResponse().Status.Code != 400 {
		t.Errorf("a misspelt demand: %v", out)
	}
	check(codes.Unauthenticated, tok.AccessToken[1:], nil)
	if got := health(t, conn); got != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health %v", got)
	}
	if err := r.Node().Logout(ctx, tok.AccessToken, node.Origin{}); err != nil {
		t.Fatal(err)
	}
	denied := check(codes.Unauthenticated, tok.AccessToken, nil).GetDeniedResponse()
	if denied == nil || denied.Status.Code != 401 {
		t.Errorf("after the logout: %v", denied)
	}
	r.gate.drain()
	if got := health(t, conn); got != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health while it stops: %v", got)
	}
	// Without a lease it is 503, never 401: Envoy passes it on, whatever it does with errors.
	if err := r.Node().Close(ctx); err != nil {
		t.Fatal(err)
	}
	if out := check(codes.Unavailable, tok.AccessToken, nil); out.GetDeniedResponse().Status.Code != 503 {
		t.Errorf("without a lease: %v", out)
	}
}
