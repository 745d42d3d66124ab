package compare

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// client asks the replicas of one installation over one pool of kept connections. It is safe for concurrent use.
type client struct {
	http  *http.Client
	urls  []string
	who   account
	clock func() time.Duration
}

const (
	// answerTimeout is longer than the longest pause and than a logout that waits for a lease.
	answerTimeout = 20 * time.Second
	// keptConns is more than ever are in use at one replica.
	keptConns = 128
)

func newClient(in installation) *client {
	return &client{
		http:  &http.Client{Timeout: answerTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: keptConns}},
		urls:  in.targets(),
		who:   in.account(),
		clock: history.NewRecorder().Now,
	}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// login returns the access token of a new session. While the replica says that it is too busy, it is asked again.
func (c *client) login(ctx context.Context, replica int) (string, error) {
	until := c.clock() + acceptedWithin
	for {
		token, status, err := c.grant(ctx, replica)
		if status != http.StatusServiceUnavailable || ctx.Err() != nil || c.clock() > until {
			return token, err
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// grant asks for a token once. The status is 0 when there was no answer.
func (c *client) grant(ctx context.Context, replica int) (token string, status int, err error) {
	form := url.Values{"grant_type": {"password"}, "username": {c.who.name}, "password": {c.who.password}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.urls[replica]+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.http.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", 0, err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != http.StatusOK || answer.AccessToken == "" {
		return "", resp.StatusCode, fmt.Errorf("login: status %d: %s", resp.StatusCode, body)
	}
	return answer.AccessToken, resp.StatusCode, nil
}

// known returns the tokens of n new sessions that every replica has accepted before.
func (c *client) known(ctx context.Context, n int) ([]string, error) {
	tokens, errs := make([]string, n), make([]error, n)
	var all sync.WaitGroup
	const abreast = 4
	for w := range abreast {
		all.Go(func() {
			for i := w; i < n; i += abreast {
				tokens[i], errs[i] = c.login(ctx, revoker)
				for replica := 0; replica < len(c.urls) && errs[i] == nil; replica++ {
					errs[i] = c.accepted(ctx, replica, tokens[i])
				}
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

// acceptedWithin bounds how long a replica may take to begin a session, and to accept its token.
const acceptedWithin = 10 * time.Second

// accepted waits until a replica accepts a token.
func (c *client) accepted(ctx context.Context, replica int, token string) error {
	until := c.clock() + acceptedWithin
	for {
		op := c.verify(ctx, replica, token)
		switch {
		case op.Outcome == history.OK:
			return nil
		case ctx.Err() != nil || c.clock() > until:
			return fmt.Errorf("replica %d does not accept a new token: %s (status %d)", replica, op.Outcome, op.Status)
		}
		pause(ctx, 10*time.Millisecond)
	}
}

// verify asks a replica whether a token is good.
func (c *client) verify(ctx context.Context, replica int, token string) history.Op {
	return c.do(ctx, history.Op{Kind: history.Verify, Replica: int8(replica)}, http.MethodGet, "/verify", token)
}

// logout ends the session of a token.
func (c *client) logout(ctx context.Context, replica int, token string) history.Op {
	return c.do(ctx, history.Op{Kind: history.Logout, Replica: int8(replica)}, http.MethodPost, "/logout", token)
}

// do sends one request and completes op, whose times enclose it.
func (c *client) do(ctx context.Context, op history.Op, method, path, token string) history.Op {
	req, err := http.NewRequestWithContext(ctx, method, c.urls[op.Replica]+path, http.NoBody)
	if err != nil {
		panic(err) // the URLs are our own
	}
	req.Header.Set("Authorization", "Bearer "+token)
	op.Start = c.clock()
	resp, err := c.http.Do(req)
	if err != nil {
		op.End = c.clock()
		return op // with the outcome "unknown"
	}
	_, _ = io.Copy(io.Discard, resp.Body) // the status is the answer
	resp.Body.Close()
	op.End = c.clock()
	op.Status = int16(resp.StatusCode)
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNoContent:
		op.Outcome = history.OK
	case http.StatusUnauthorized, http.StatusForbidden:
		op.Outcome = history.Refused
	case http.StatusServiceUnavailable:
		op.Outcome = history.Unavailable
	default:
		op.Outcome = history.Unexpected
	}
	return op
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
