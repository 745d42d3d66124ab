package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/knell-auth/knell/internal/replica"
)

// maxAnswer bounds an answer that is read, in bytes: a page of users, or the sessions of one.
const maxAnswer = 64 << 20

// admin talks to a replica's local administration.
type admin struct {
	client http.Client
	base   string
	close  func() error
}

// online returns the administration of the replica that runs on dir. The error is errNotRunning when none does.
func online(ctx context.Context, dir string) (*admin, error) {
	path, err := replica.SocketPath(dir)
	if err != nil {
		return nil, usageError{err}
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	c, err := dial(ctx, "", "")
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		return nil, errNotRunning
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, reason(err))
	}
	c.Close()
	transport := &http.Transport{DialContext: dial}
	a := &admin{client: http.Client{Transport: transport}, base: "http://local"}
	a.close = func() error {
		transport.CloseIdleConnections()
		return nil
	}
	return a, nil
}

// errNotRunning: there is no socket, or nobody behind it.
var errNotRunning = errors.New("no replica is running on this data directory")

// call makes one request with in as its JSON body, unless that is nil, and decodes the answer into out, unless that is nil.
func (a *admin) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("asking the replica: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("the replica broke off: %w", err)
	}
	if resp.StatusCode >= 300 {
		return refusal(resp, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("this does not look like a replica of Knell: %w", err)
	}
	return nil
}

// unavailableError is a 503: the replica can't answer at the moment.
type unavailableError struct{ detail, retryAfter string }

// Error implements error.
func (e *unavailableError) Error() string {
	return fmt.Sprintf("%s; try again in %s s", e.detail, e.retryAfter)
}

// refusal returns the error that a problem document (RFC 9457) stands for.
func refusal(resp *http.Response, body []byte) error {
	var p struct{ Detail string }
	if err := json.Unmarshal(body, &p); err != nil || p.Detail == "" {
		return fmt.Errorf("the replica answered %s", resp.Status)
	}
	if wait := resp.Header.Get("Retry-After"); wait != "" {
		return &unavailableError{p.Detail, wait}
	}
	return errors.New(p.Detail)
}

// user is a user as local administration shows it.
type user struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Email    string    `json:"email,omitempty"`
	FullName string    `json:"full_name,omitempty"`
	Roles    []string  `json:"roles"`
	Scopes   []string  `json:"scopes"`
	Disabled bool      `json:"disabled"`
	Created  time.Time `json:"created"`
	Sessions int       `json:"sessions"`
}

// newUser is what a user is created from.
type newUser struct {
	Name     string   `json:"name"`
	Password string   `json:"password"`
	Email    string   `json:"email,omitempty"`
	FullName string   `json:"full_name,omitempty"`
	Roles    []string `json:"roles,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
	First    bool     `json:"first,omitempty"` // to be refused when there is an administrator
}

// users returns all users, page by page, or those with this name unless it is "".
func (a *admin) users(ctx context.Context, name string) ([]user, error) {
	query := url.Values{"limit": {"1000"}}
	if name != "" {
		query = url.Values{"name": {name}}
	}
	var all []user
	for {
		var page struct {
			Users []user `json:"users"`
			Next  string `json:"next"`
		}
		if err := a.call(ctx, http.MethodGet, "/users?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Users...)
		if page.Next == "" {
			return all, nil
		}
		query.Set("cursor", page.Next)
	}
}

// session is a live session as local administration shows it.
type session struct {
	ID        string     `json:"id"`
	UserAgent string     `json:"user_agent"`
	Address   string     `json:"address"`
	Client    string     `json:"client_id,omitempty"`
	Started   time.Time  `json:"started"`
	Refreshed *time.Time `json:"last_refreshed"`
	Expires   time.Time  `json:"expires"`
}

// sessions returns the live sessions of the user with this id.
func (a *admin) sessions(ctx context.Context, id string) ([]session, error) {
	var list struct {
		Sessions []session `json:"sessions"`
	}
	err := a.call(ctx, http.MethodGet, "/users/"+id+"/sessions", nil, &list)
	return list.Sessions, err
}

// create makes a user.
func (a *admin) create(ctx context.Context, u newUser) (user, error) {
	var created user
	err := a.call(ctx, http.MethodPost, "/users", u, &created)
	return created, err
}

// find returns the user with this name.
func (a *admin) find(ctx context.Context, name string) (user, error) {
	found, err := a.users(ctx, name)
	if err != nil {
		return user{}, err
	}
	if len(found) == 0 {
		return user{}, fmt.Errorf("there is no user %q", name)
	}
	return found[0], nil
}

// change runs a command upon the user with this name.
func (a *admin) change(ctx context.Context, name, command string, in any) error {
	u, err := a.find(ctx, name)
	if err != nil {
		return err
	}
	return a.call(ctx, http.MethodPost, "/users/"+u.ID+"/"+command, in, nil)
}
