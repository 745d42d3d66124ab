package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// Issuer says how to talk to an issuer of tokens. Its URLs are absolute, or paths that are added to the URL of each
// replica. The zero Issuer is Knell's.
type Issuer struct {
	Token string // token endpoint (RFC 6749); "": /token
	// Logout ends the session of the bearer token; "": /logout.
	Logout string
	// Revoke is a revocation endpoint (RFC 7009), used instead of Logout.
	Revoke string
	// RevokeRefresh revokes the refresh token instead of the access token, for issuers where the one ends the other.
	RevokeRefresh bool
	// Check is a resource that needs a bearer token and is read with GET; "": /verify.
	Check string
	// Introspect is an introspection endpoint (RFC 7662), used instead of Check.
	Introspect string
	Status     string // tells with "applied" how far a replica has followed its log; "": /status
	// ClientCredentials asks for tokens of the client itself instead of the user's.
	ClientCredentials bool
	Scope             string // asked for at a login
	Client            Credentials
	User              Credentials
}

// Credentials are a name with its password or secret.
type Credentials struct{ Name, Secret string }

// String does not say the secret.
func (c Credentials) String() string { return c.Name }

// CheckEndpoint returns an error unless ref can be a URL of an Issuer.
func CheckEndpoint(ref string) error {
	if ref == "" || strings.HasPrefix(ref, "/") {
		return nil
	}
	if err := CheckURL(ref); err != nil {
		return fmt.Errorf("%w, or a path that begins with /", err)
	}
	return nil
}

// CheckURL returns an error unless s is an absolute HTTP URL without a query.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.User != nil {
		if strings.Contains(s, "@") { // what stands before may be a password
			s = "...@" + s[strings.LastIndexByte(s, '@')+1:]
		}
		return fmt.Errorf("%q: want http://host:port or https://host:port", s)
	}
	return nil
}

// client talks to one replica. It is safe for concurrent use.
type client struct {
	replica int
	base    string
	issuer  *Issuer
	timeout time.Duration
	now     func() time.Duration
	http    *http.Client
}

// at returns the URL of an endpoint.
func (c *client) at(ref, standard string) string {
	if ref == "" {
		ref = standard
	}
	if strings.HasPrefix(ref, "/") {
		return strings.TrimRight(c.base, "/") + ref
	}
	return ref
}

// answer is what came of one request. Times enclose it: it starts before the first byte is sent and ends after the last
// one has been read.
type answer struct {
	start, end time.Duration
	status     int // 0: none
	outcome    history.Outcome
	header     http.Header
	body       []byte
	err        error // why there is no answer
}

// login asks for a session.
func (c *client) login(ctx context.Context) (answer, *session) {
	form := url.Values{"grant_type": {"password"}, "username": {c.issuer.User.Name}, "password": {c.issuer.User.Secret}}
	if c.issuer.ClientCredentials {
		form = url.Values{"grant_type": {"client_credentials"}}
	}
	if c.issuer.Scope != "" {
		form.Set("scope", c.issuer.Scope)
	}
	return c.token(ctx, history.Login, form)
}

// refresh presents a refresh token.
func (c *client) refresh(ctx context.Context, s *session) (answer, *session) {
	return c.token(ctx, history.Refresh, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {s.refresh}})
}

func (c *client) token(ctx context.Context, kind history.Kind, form url.Values) (answer, *session) {
	a := c.do(ctx, kind, http.MethodPost, c.at(c.issuer.Token, "/token"), "", form)
	if a.outcome != history.OK {
		return a, nil
	}
	var g struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Expires int64  `json:"expires_in"`
	}
	if err := json.Unmarshal(a.body, &g); err != nil || g.Access == "" {
		a.outcome = history.Unexpected
		return a, nil
	}
	s := &session{access: g.Access, refresh: g.Refresh}
	if g.Expires > 0 {
		life := time.Duration(g.Expires) * time.Second
		s.until = a.start + life - min(lifeLeft, life/4)
	}
	if kind == history.Refresh && s.refresh == "" { // RFC 6749 section 6: the one before stays good
		s.refresh = form.Get("refresh_token")
	}
	return a, s
}

// lifeLeft is how much of its life an access token must have before it to be used: a refusal because it expired must not
// pass for anything else. Of a short life it is a quarter.
const lifeLeft = 15 * time.Second

// check asks whether an access token is good.
func (c *client) check(ctx context.Context, token string) answer {
	if c.issuer.Introspect == "" {
		return c.do(ctx, history.Verify, http.MethodGet, c.at(c.issuer.Check, "/verify"), token, nil)
	}
	a := c.do(ctx, history.Verify, http.MethodPost, c.at(c.issuer.Introspect, ""), "", url.Values{"token": {token}})
	if a.outcome == history.Refused { // that was this client, not the token
		a.outcome = history.Unexpected
	}
	if a.outcome != history.OK {
		return a
	}
	var t struct {
		Active *bool `json:"active"`
	}
	switch err := json.Unmarshal(a.body, &t); {
	case err != nil || t.Active == nil:
		a.outcome = history.Unexpected
	case !*t.Active:
		a.outcome = history.Refused
	}
	return a
}

// logout ends a session.
func (c *client) logout(ctx context.Context, s *session) answer {
	if c.issuer.Revoke == "" {
		return c.do(ctx, history.Logout, http.MethodPost, c.at(c.issuer.Logout, "/logout"), s.access, nil)
	}
	form := url.Values{"token": {s.access}, "token_type_hint": {"access_token"}}
	if c.issuer.RevokeRefresh {
		form = url.Values{"token": {s.refresh}, "token_type_hint": {"refresh_token"}}
	}
	return c.do(ctx, history.Logout, http.MethodPost, c.at(c.issuer.Revoke, ""), "", form)
}

// do sends one request. With a form, the client's credentials go with it (RFC 6749 section 2.3.1).
func (c *client) do(ctx context.Context, kind history.Kind, method, target, bearer string, form url.Values) answer {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		panic(err) // URLs are checked before
	}
	switch {
	case form != nil:
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if c.issuer.Client.Name != "" {
			req.SetBasicAuth(url.QueryEscape(c.issuer.Client.Name), url.QueryEscape(c.issuer.Client.Secret))
		}
	case bearer != "":
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	// net/http repeats a request whose kept connection turns out to be closed. Start precedes each try.
	a := answer{start: c.now()}
	resp, err := c.http.Do(req)
	if err != nil {
		a.end, a.outcome, a.err = c.now(), unanswered(err), err
		return a
	}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	resp.Body.Close()
	a.end, a.status, a.header = c.now(), resp.StatusCode, resp.Header
	if err != nil && kind != history.Verify { // the status alone is an answer to a check: who sees 200 lets pass
		return a
	}
	a.outcome = judge(kind, a.status, a.body)
	return a
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// unanswered says what it means that a request failed without an answer. A connection that was never made carried nothing.
func unanswered(err error) history.Outcome {
	var netErr *net.OpError
	if errors.As(err, &netErr) && netErr.Op == "dial" {
		return history.Unavailable
	}
	return history.Unknown
}

// judge says what an answer means.
func judge(kind history.Kind, status int, body []byte) history.Outcome {
	switch status {
	case http.StatusOK, http.StatusNoContent:
		return history.OK
	case http.StatusUnauthorized, http.StatusForbidden:
		return history.Refused
	case http.StatusBadRequest:
		if strings.Contains(string(body), `"invalid_grant"`) {
			return history.Refused
		}
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		if kind == history.Verify {
			return history.Unavailable
		}
		return history.Unknown // a write may have been recorded all the same
	}
	return history.Unexpected
}

// standing is what a replica of Knell says of itself.
type standing struct {
	Node        string `json:"node"`
	Incarnation string `json:"incarnation"`
	Epoch       string `json:"epoch"`
	Applied     uint64 `json:"applied"`
	Digest      string `json:"digest"`
}

// standing asks a replica how far it has followed the log; ok is false when it does not say.
func (c *client) standing(ctx context.Context) (s standing, at time.Duration, ok bool) {
	a := c.do(ctx, history.Verify, http.MethodGet, c.at(c.issuer.Status, "/status"), "", nil)
	if a.status != http.StatusOK || json.Unmarshal(a.body, &s) != nil || s.Applied == 0 {
		return s, a.end, false
	}
	return s, a.end, true
}
