package traffic

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// grant is what a login or a refresh returned.
type grant struct {
	access, refresh string
}

// client sends operations to one replica and says what came of each. It is safe for concurrent use.
type client struct {
	replica int8
	url     string
	clock   func() time.Duration
	http    *http.Client
}

// idleConns is how many connections to a replica are kept: one for each worker and for the verifications that follow a
// logout.
const idleConns = 64

// newClient returns a client of the replica at base. A request that is not answered within timeout is given up.
func newClient(replica int, base string, timeout time.Duration, clock func() time.Duration) *client {
	return &client{
		replica: int8(replica), url: base, clock: clock,
		http: &http.Client{
			Timeout:   timeout,
			Transport: &http.Transport{MaxIdleConnsPerHost: idleConns, MaxConnsPerHost: maxPending + idleConns},
		},
	}
}

// op begins an operation of s with the token of generation gen; s is nil before there is one.
func (c *client) op(kind history.Kind, s *session, gen int32) history.Op {
	op := history.Op{Kind: kind, Replica: c.replica, Gen: gen}
	if s != nil {
		op.Session = s.id
	}
	return op
}

// login asks for a session. The operation has no session number: the caller gives one.
func (c *client) login(ctx context.Context, u User) (history.Op, grant) {
	form := url.Values{"grant_type": {"password"}, "username": {u.Name}, "password": {u.Password}}
	return c.token(ctx, c.op(history.Login, nil, 0), form)
}

// refresh presents a refresh token of generation gen.
func (c *client) refresh(ctx context.Context, s *session, gen int32, token string) (history.Op, grant) {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	return c.token(ctx, c.op(history.Refresh, s, gen), form)
}

func (c *client) token(ctx context.Context, op history.Op, form url.Values) (history.Op, grant) {
	body := c.do(ctx, &op, http.MethodPost, "/token", "", form.Encode())
	if op.Outcome != history.OK {
		return op, grant{}
	}
	var answer struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		ExpiresIn    int64  `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.AccessToken == "" || answer.RefreshToken == "" {
		op.Outcome = history.Unexpected
		return op, grant{}
	}
	op.Successor, op.SID = fingerprint(answer.AccessToken)
	// The service counts from a second that it rounded down, before it answered; a refresh inside the grace window gives
	// a token that may be older by the length of that window.
	op.Expires = op.Start + time.Duration(answer.ExpiresIn)*time.Second - time.Second
	if op.Kind == history.Refresh {
		op.Expires -= graceWindow
	}
	return op, grant{access: answer.AccessToken, refresh: answer.RefreshToken}
}

// graceWindow is the longest time in which a spent refresh token is answered with the tokens that it was first answered
// with.
const graceWindow = 30 * time.Second

// fingerprint identifies the claims of an access token that stay the same when another replica gives it out again. sid is
// the session that it is of, "" when it does not say.
func fingerprint(access string) (id uint64, sid string) {
	h := fnv.New64a()
	parts := strings.Split(access, ".")
	var c struct {
		ID  string `json:"jti"`
		At  int64  `json:"iat"`
		To  int64  `json:"exp"`
		Seq uint64 `json:"seq"` // of the event that made it: two chains have the same names, and often the same times
		SID string `json:"sid"`
	}
	if len(parts) == 3 {
		if payload, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil && json.Unmarshal(payload, &c) == nil && c.ID != "" {
			_ = json.NewEncoder(h).Encode(c) // a hash takes everything
			return h.Sum64(), c.SID
		}
	}
	_, _ = io.WriteString(h, access)
	return h.Sum64(), ""
}

// verify asks whether the access token of generation gen is good.
func (c *client) verify(ctx context.Context, s *session, gen int32, token string) history.Op {
	op := c.op(history.Verify, s, gen)
	c.do(ctx, &op, http.MethodGet, "/verify", token, "")
	return op
}

// logout ends the session of an access token.
func (c *client) logout(ctx context.Context, s *session, gen int32, token string) history.Op {
	op := c.op(history.Logout, s, gen)
	c.do(ctx, &op, http.MethodPost, "/logout", token, "")
	return op
}

// do sends one request, completes op and returns the body. op's times enclose the request: it starts before the first
// byte is sent and ends after the last one has been received.
func (c *client) do(ctx context.Context, op *history.Op, method, path, bearer, form string) []byte {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, strings.NewReader(form))
	if err != nil {
		panic(err) // a target that is no URL is found when traffic starts
	}
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	// net/http repeats a GET whose kept connection turns out to be closed. Start precedes each try, so the record stays true.
	op.Start = c.clock()
	resp, err := c.http.Do(req)
	if err != nil {
		op.End = c.clock()
		op.Outcome = unanswered(op.Kind, err)
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	resp.Body.Close()
	op.End = c.clock()
	op.Status = int16(resp.StatusCode)
	if err != nil {
		// The status alone is an answer to a verification: who sees 200 lets the request pass.
		if op.Kind != history.Verify {
			return nil
		}
	}
	op.Outcome = judge(op.Kind, resp.StatusCode, body)
	return body
}

// unanswered says what it means that a request failed without an answer. A connection that was never made carried nothing.
func unanswered(kind history.Kind, err error) history.Outcome {
	var netErr *net.OpError
	if errors.As(err, &netErr) && netErr.Op == "dial" {
		return history.Unavailable
	}
	return history.Unknown
}

// judge says what an answer means.
func judge(kind history.Kind, status int, body []byte) history.Outcome {
	switch {
	case status == http.StatusOK || status == http.StatusNoContent:
		return history.OK
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return history.Refused
	case status == http.StatusBadRequest && strings.Contains(string(body), `"invalid_grant"`):
		return history.Refused
	case status == http.StatusServiceUnavailable && kind == history.Verify:
		return history.Unavailable
	case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
		return history.Unknown // a write may have been recorded all the same
	}
	return history.Unexpected
}
