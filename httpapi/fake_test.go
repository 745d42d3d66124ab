package httpapi

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// scripted is a node that answers every command with one error. It serves the tests of what becomes of errors; all else
// is tested on a real node.
type scripted struct {
	err    error
	retry  time.Duration
	clock  func(context.Context)     // sees the context of a revocation
	origin func(o node.Origin)       // sees the origin of a revocation
	login  func(l node.LoginRequest) // sees a login
	panics any
	behind bool // not ready
}

var _ LocalNode = (*scripted)(nil)

func (s *scripted) Verify(context.Context, string) (node.Identity, error) {
	if s.panics != nil {
		panic(s.panics)
	}
	return node.Identity{}, s.err
}
func (s *scripted) VerifyBasic(context.Context, string, string, node.Origin) (node.Identity, error) {
	return node.Identity{}, s.err
}
func (s *scripted) Watch(ctx context.Context, _ node.Identity) *node.Watch { return nil }
func (s *scripted) FollowEvents(context.Context, node.EventQuery, time.Duration, func(node.EventBatch) error) error {
	return s.err
}
func (s *scripted) ReadEvents(context.Context, node.EventQuery, int, func(node.EventBatch) error) (node.EventPage, error) {
	return node.EventPage{}, s.err
}
func (s *scripted) LogKey() (string, error)                            { return "", s.err }
func (s *scripted) Checkpoint(context.Context, uint64) ([]byte, error) { return nil, s.err }
func (s *scripted) TreeTile(context.Context, string) ([]byte, error)   { return nil, s.err }
func (s *scripted) ProveEvent(context.Context, uint64) ([]byte, error) { return nil, s.err }
func (s *scripted) ProveConsistency(context.Context, uint64, uint64) ([]byte, error) {
	return nil, s.err
}
func (s *scripted) LeavesBefore(context.Context, uint64) (node.LeafRange, error) {
	return node.LeafRange{}, s.err
}
func (s *scripted) Receipt(context.Context, *node.Timing) (*node.Receipt, error) { return nil, s.err }
func (s *scripted) AcceptsBasic() bool                                           { return false }
func (s *scripted) APIKeys(events.ID) []node.APIKey                              { return nil }
func (s *scripted) CreateAPIKey(context.Context, node.NewAPIKey, node.Origin) (node.APIKey, string, error) {
	return node.APIKey{}, "", s.err
}
func (s *scripted) RotateAPIKey(context.Context, events.ID, events.ID, time.Duration, node.Origin) (node.APIKey, string, error) {
	return node.APIKey{}, "", s.err
}
func (s *scripted) RevokeAPIKey(context.Context, events.ID, events.ID, node.Origin) error {
	return s.err
}
func (s *scripted) Roles() []node.Role                                                 { return nil }
func (s *scripted) SetRoleScopes(context.Context, string, []string, node.Origin) error { return s.err }
func (s *scripted) GrantEvents(context.Context, node.NewGrant, node.Origin) (node.Grant, error) {
	return node.Grant{}, s.err
}
func (s *scripted) RevokeGrant(context.Context, string, node.Origin) error { return s.err }
func (s *scripted) Grants(context.Context) ([]node.GrantState, error)      { return nil, s.err }
func (s *scripted) RetryAfter() time.Duration                              { return s.retry }
func (s *scripted) Login(_ context.Context, l node.LoginRequest) (node.Tokens, error) {
	if s.login != nil {
		s.login(l)
	}
	return node.Tokens{}, s.err
}
func (s *scripted) Refresh(context.Context, node.RefreshRequest) (node.Tokens, error) {
	return node.Tokens{}, s.err
}
func (s *scripted) Logout(ctx context.Context, _ string, o node.Origin) error {
	if s.clock != nil {
		s.clock(ctx)
	}
	if s.origin != nil {
		s.origin(o)
	}
	return s.err
}
func (s *scripted) AuthenticateClient(context.Context, string, string, node.Origin) (uint64, error) {
	return 0, s.err
}
func (s *scripted) ClientToken(context.Context, string, uint64, []string, node.Origin) (node.Tokens, error) {
	return node.Tokens{}, s.err
}
func (s *scripted) UserByID(events.ID) (node.User, bool)                     { return node.User{}, false }
func (s *scripted) Ready() bool                                              { return !s.behind }
func (s *scripted) Status() node.Status                                      { return node.Status{} }
func (s *scripted) EnableUser(context.Context, events.ID, node.Origin) error { return s.err }
func (s *scripted) UnlockUser(context.Context, events.ID, node.Origin) error { return s.err }
func (s *scripted) RevokeUser(context.Context, events.ID, node.Origin) error { return s.err }
func (s *scripted) CreateUser(context.Context, node.NewUser, node.Origin) (node.User, error) {
	return node.User{}, s.err
}
func (s *scripted) DisableUser(context.Context, events.ID, node.Origin) error { return s.err }
func (s *scripted) SetPassword(context.Context, events.ID, string, node.Origin) error {
	return s.err
}
func (s *scripted) SetRoles(context.Context, events.ID, []string, []string, node.Origin) error {
	return s.err
}
func (s *scripted) Clients() ([]node.Client, error)                                 { return nil, s.err }
func (s *scripted) ClientByID(string) (node.Client, error)                          { return node.Client{}, s.err }
func (s *scripted) CreateClient(context.Context, node.NewClient, node.Origin) error { return s.err }
func (s *scripted) ChangeClient(context.Context, string, node.ClientChange, node.Origin) error {
	return s.err
}
func (s *scripted) RotateClientSecret(context.Context, string, string, time.Duration, node.Origin) error {
	return s.err
}
func (s *scripted) DisableClient(context.Context, string, node.Origin) error { return s.err }
func (s *scripted) EnableClient(context.Context, string, node.Origin) error  { return s.err }
func (s *scripted) DeleteClient(context.Context, string, node.Origin) error  { return s.err }
func (s *scripted) ClientForCode(string) (node.Client, error)                { return node.Client{}, s.err }
func (s *scripted) SealRequest(node.CodeRequest) string                      { return "" }
func (s *scripted) OpenRequest(string) (node.CodeRequest, error)             { return node.CodeRequest{}, s.err }
func (s *scripted) IssueCode(context.Context, node.CodeRequest, node.LoginRequest) (string, error) {
	return "", s.err
}
func (s *scripted) RedeemCode(context.Context, node.CodeRedemption) (node.Tokens, error) {
	return node.Tokens{}, s.err
}
func (s *scripted) ReadLog(context.Context, uint64, uint64, func(node.LogEntry) error) (node.LogEnd, error) {
	return node.LogEnd{}, s.err
}
func (s *scripted) Backup(context.Context, io.Writer) error { return s.err }

// logTo returns a logger for all levels, and what it has written.
func logTo() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})), &b
}

// call serves one request in process. Headers are "Name: value" lines.
func call(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// loginForm and form are a login that is well-formed.
const (
	formType  = "Content-Type: application/x-www-form-urlencoded"
	jsonType  = "Content-Type: application/json"
	loginForm = "grant_type=password&username=alice&password=wonderland-1865"
)

// expect fails the test unless w has the status and the headers, given as "Name: value" lines; a value of "-" means that
// the header is absent.
func expect(t *testing.T, w *httptest.ResponseRecorder, status int, headers ...string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("status %d, want %d; body %s", w.Code, status, w.Body)
	}
	for _, line := range headers {
		name, want, _ := strings.Cut(line, ": ")
		got := strings.Join(w.Header().Values(name), " | ")
		if want == "-" {
			want = ""
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
