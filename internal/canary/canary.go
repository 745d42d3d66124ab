// Package canary watches an installation from outside, as a client: again and again it logs in, has the token verified at every replica,
// logs out, and asks every replica at once whether it still accepts the token. It owns the metrics of that, and knows nothing of how
// replicas work.
package canary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Config says what is watched. Targets and either Client or User are required.
type Config struct {
	Targets  []string      // URL of each replica; a load balancer would answer for any of them
	Interval time.Duration // from the start of a round to that of the next; 0: 5 s
	Timeout  time.Duration // of one request; 0: 20 s, which is longer than the longest logout with the default lease
	Client   Credentials   // OAuth client; without a User it logs in for itself (client_credentials)
	User     Credentials   // who logs in with a password, which the replicas have to allow (--password-grant)
	Scope    string        // asked for; "": all
	HTTP     *http.Client  // nil: one that follows no redirections
	Logger   *slog.Logger  // is told what went wrong; nil: nobody is
}

// Credentials are a name with its password or secret.
type Credentials struct{ Name, Secret string }

// String does not say the secret.
func (c Credentials) String() string { return c.Name }

// Stages of a round.
const (
	stageLogin  = "login"
	stageVerify = "verify" // before the logout
	stageLogout = "logout"
	stageProbe  = "probe" // after it
)

// ErrLeak says that a replica accepted a token in a request that began after the logout of its session had returned.
var ErrLeak = errors.New("a replica accepts a token after the logout has returned")

// Canary watches one installation.
type Canary struct {
	cfg     Config
	targets []target
	meters  *meters
	next    int // the target that logs in next
}

// target is one replica.
type target struct {
	name string // host and port
	url  string
}

// New returns a canary that has not sung yet.
func New(cfg Config) (*Canary, error) {
	if len(cfg.Targets) == 0 || cfg.Client.Name == "" && cfg.User.Name == "" {
		return nil, errors.New("canary: want targets, and who logs in")
	}
	if cfg.Interval <= 0 {
		cfg.Interval = 5 * time.Second
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 20 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	c := &Canary{cfg: cfg}
	var names []string
	for _, t := range cfg.Targets {
		u, err := url.Parse(t)
		if err != nil || u.Host == "" || u.User != nil {
			return nil, fmt.Errorf("canary: a target is no URL of the form http://host:port")
		}
		c.targets = append(c.targets, target{u.Host, strings.TrimRight(t, "/")})
		names = append(names, u.Host)
	}
	c.meters = newMeters(names)
	return c, nil
}

// Handler serves the metrics.
func (c *Canary) Handler() http.Handler { return c.meters.handler() }

// Run goes from round to round until ctx ends.
func (c *Canary) Run(ctx context.Context) {
	tick := time.NewTicker(c.cfg.Interval)
	defer tick.Stop()
	for {
		if err := c.Round(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Logger.Warn("round failed", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Round logs in, has the token verified everywhere, logs out and probes every replica. It returns what went wrong, nil if nothing did;
// ErrLeak for a leak. It is not safe for concurrent use.
func (c *Canary) Round(ctx context.Context) error {
	err := c.round(ctx)
	switch {
	case ctx.Err() != nil: // it was cut short: nothing follows from it
	case err == nil:
		c.meters.rounds.WithLabelValues("ok").Inc()
		c.meters.success.SetToCurrentTime()
	case errors.Is(err, ErrLeak):
		c.meters.rounds.WithLabelValues("leak").Inc()
	default:
		c.meters.rounds.WithLabelValues("failed").Inc()
	}
	return err
}

func (c *Canary) round(ctx context.Context) error {
	var errs []error
	token, err := c.anywhere(ctx, stageLogin, c.login)
	if errs = append(errs, err); token == "" {
		return errors.Join(errs...)
	}
	errs = append(errs, c.everywhere(func(t target) error { return c.verified(ctx, t, token) }))
	began := time.Now()
	ended, err := c.anywhere(ctx, stageLogout, func(ctx context.Context, t target) (string, error) { return token, c.logout(ctx, t, token) })
	if errs = append(errs, err); ended == "" {
		return errors.Join(errs...) // nobody has said that it is complete
	}
	c.meters.logout.Observe(time.Since(began).Seconds())
	errs = append(errs, c.everywhere(func(t target) error { return c.refused(ctx, t, token) }))
	return errors.Join(errs...)
}

// anywhere does something at one replica after the other until it succeeds at one, another one each time. The error says where it
// failed, also when it succeeded elsewhere.
func (c *Canary) anywhere(ctx context.Context, stage string, do func(context.Context, target) (string, error)) (string, error) {
	var errs []error
	for range c.targets {
		t := c.targets[c.next%len(c.targets)]
		c.next++
		got, err := do(ctx, t)
		if err == nil {
			return got, errors.Join(errs...)
		}
		errs = append(errs, c.failed(ctx, t, stage, err))
	}
	return "", errors.Join(errs...)
}

// everywhere does something at all replicas at once.
func (c *Canary) everywhere(do func(target) error) error {
	errs := make([]error, len(c.targets))
	var work sync.WaitGroup
	for i, t := range c.targets {
		work.Go(func() { errs[i] = do(t) })
	}
	work.Wait()
	return errors.Join(errs...)
}

// failed counts a failure and returns it with its place.
func (c *Canary) failed(ctx context.Context, t target, stage string, err error) error {
	if ctx.Err() == nil {
		c.meters.failures.WithLabelValues(t.name, stage).Inc()
	}
	return fmt.Errorf("%s at %s: %w", stage, t.name, err)
}

// login returns an access token.
func (c *Canary) login(ctx context.Context, t target) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if c.cfg.User.Name != "" {
		form = url.Values{"grant_type": {"password"}, "username": {c.cfg.User.Name}, "password": {c.cfg.User.Secret}}
	}
	if c.cfg.Scope != "" {
		form.Set("scope", c.cfg.Scope)
	}
	status, body, err := c.ask(ctx, t, "/token", "", form)
	if err != nil {
		return "", err
	}
	var answer struct {
		Token string `json:"access_token"`
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil || status != http.StatusOK || answer.Token == "" {
		return "", fmt.Errorf("status %d %.40s", status, answer.Error)
	}
	return answer.Token, nil
}

// verified returns an error unless a replica accepts a good token.
func (c *Canary) verified(ctx context.Context, t target, token string) error {
	status, _, err := c.ask(ctx, t, "/verify", token, nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d for a good token", status)
	}
	if err != nil {
		return c.failed(ctx, t, stageVerify, err)
	}
	return nil
}

// logout ends the session of a token.
func (c *Canary) logout(ctx context.Context, t target, token string) error {
	status, _, err := c.ask(ctx, t, "/logout", token, url.Values{})
	if err == nil && status != http.StatusNoContent {
		err = fmt.Errorf("status %d", status)
	}
	return err
}

// refused returns an error unless a replica refuses a token whose logout has returned.
func (c *Canary) refused(ctx context.Context, t target, token string) error {
	status, _, err := c.ask(ctx, t, "/verify", token, nil)
	switch {
	case err != nil:
		return c.failed(ctx, t, stageProbe, err)
	case status == http.StatusUnauthorized:
		c.meters.probes.WithLabelValues(t.name).Inc()
		return nil
	case status == http.StatusOK:
		c.meters.probes.WithLabelValues(t.name).Inc()
		c.meters.leaks.WithLabelValues(t.name).Inc()
		return fmt.Errorf("%w: %s", ErrLeak, t.name)
	}
	return c.failed(ctx, t, stageProbe, fmt.Errorf("status %d", status))
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 16

// ask sends a request: GET with a bearer token, POST with a form. What it returns of an error has neither of them.
func (c *Canary) ask(ctx context.Context, t target, path, token string, form url.Values) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	method, content := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, content = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, t.url+path, content)
	if err != nil {
		return 0, nil, err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	switch {
	case token != "":
		r.Header.Set("Authorization", "Bearer "+token)
	case c.cfg.Client.Name != "":
		r.SetBasicAuth(url.QueryEscape(c.cfg.Client.Name), url.QueryEscape(c.cfg.Client.Secret))
	}
	answer, err := c.cfg.HTTP.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil && answer.StatusCode == http.StatusOK && form == nil {
		err = nil // who sees the status of a check lets pass
	}
	return answer.StatusCode, body, err
}
