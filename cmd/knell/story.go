package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/knell-auth/knell/node"
)

// story tells what Knell is for, over real HTTP, and checks every sentence of it.
type story struct {
	d      *demo
	s      *style
	client *http.Client
}

// step is one measured request.
type step struct {
	status int
	body   []byte
	took   time.Duration // from before the request was sent until the answer was read
}

// storyTimeout bounds the story; a logout takes a lease at worst.
const storyTimeout = 30 * time.Second

// tell runs the story. The error says which sentence does not hold.
func tell(ctx context.Context, d *demo, s *style) error {
	ctx, cancel := context.WithTimeout(ctx, storyTimeout)
	defer cancel()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	st := &story{d: d, s: s, client: &http.Client{Transport: transport}}
	// Connections are opened first: what is measured is Knell and not TCP.
	for _, base := range append([]string{d.front}, d.direct...) {
		if _, err := st.send(ctx, http.MethodGet, base+"/livez", "", nil); err != nil {
			return err
		}
	}
	s.title("The story")
	token, err := st.login(ctx)
	if err != nil {
		return err
	}
	s.printf("  each replica accepts the token:\n")
	for i, base := range d.direct {
		if err := st.verify(ctx, fmt.Sprintf("  replica %d", i+1), base, token, http.StatusOK); err != nil {
			return err
		}
	}
	const at = 1 // index of the replica that logs out
	what := fmt.Sprintf("she logs out at replica %d", at+1)
	if _, err := st.expect(ctx, what, http.MethodPost, d.direct[at]+"/logout", token, nil, http.StatusNoContent); err != nil {
		return err
	}
	s.printf("  from now on no replica accepts it:\n")
	for i, base := range d.direct {
		if err := st.verify(ctx, fmt.Sprintf("  replica %d", i+1), base, token, http.StatusUnauthorized); err != nil {
			return err
		}
	}
	return st.verify(ctx, "  load balancer", d.front, token, http.StatusUnauthorized)
}

// login logs alice in through the load balancer and returns her access token.
func (st *story) login(ctx context.Context) (string, error) {
	form := url.Values{"grant_type": {"password"}, "username": {alice.Name}, "password": {alice.Password}}
	in, err := st.expect(ctx, alice.Name+" logs in through the load balancer", http.MethodPost, st.d.front+"/token", "", form, http.StatusOK)
	if err != nil {
		return "", err
	}
	var tokens struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(in.body, &tokens); err != nil || tokens.AccessToken == "" {
		return "", fmt.Errorf("the login's answer holds no access token: %q", in.body)
	}
	return tokens.AccessToken, nil
}

// verify asks one server about the token.
func (st *story) verify(ctx context.Context, what, base, token string, want int) error {
	_, err := st.expect(ctx, what, http.MethodGet, base+"/verify", token, nil, want)
	return err
}

// expect sends a request and prints its line. Another status than want is the end of the story.
func (st *story) expect(ctx context.Context, what, method, target, token string, form url.Values, want int) (step, error) {
	got, err := st.send(ctx, method, target, token, form)
	if err != nil {
		return got, fmt.Errorf("%s: %w", strings.TrimSpace(what), err)
	}
	word, colour := "", green
	switch {
	case got.status != want:
		word, colour = fmt.Sprintf("WRONG: expected %d", want), red
	case want == http.StatusUnauthorized:
		word = "refused"
	case want == http.StatusNoContent:
		word = st.s.paint(bold, "logout returned in "+round(got.took))
	case method == http.MethodGet:
		word = "accepted"
	}
	line := fmt.Sprintf("%d  %9s", got.status, round(got.took))
	st.s.printf("  %-42s %s\n", what, strings.TrimRight(st.s.paint(colour, line)+"  "+word, " "))
	if got.status != want {
		return got, fmt.Errorf("%s %s answered %d instead of %d: %s", method, target, got.status, want, strings.TrimSpace(string(got.body)))
	}
	return got, nil
}

// send makes one request.
func (st *story) send(ctx context.Context, method, target, token string, form url.Values) (step, error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return step{}, err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	began := time.Now()
	resp, err := st.client.Do(req)
	if err != nil {
		return step{}, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return step{resp.StatusCode, answer, time.Since(began)}, err
}

// show prints the demonstration: where things are, the story, and what to try. It returns when ctx ends, when a replica
// fails or the story does not hold, or after the story if no more is asked for.
func (c *devCmd) show(ctx context.Context, d *demo, t *terminal, out io.Writer, started time.Time) error {
	s := newStyle(t.out)
	if s.out = out; c.Quiet {
		s.out = io.Discard
	}
	s.printf("%s starts three replicas that share one log ...\n", s.paint(bold, "knell dev"))
	if err := d.ready(ctx); err != nil {
		if ctx.Err() != nil { // the person changed their mind
			return nil
		}
		return err
	}
	if d.level.Level() == silent {
		d.level.Set(slog.LevelError)
	}
	d.places(s, time.Since(started))
	if !c.NoStory {
		if err := tell(ctx, d, s); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("the story does not hold: %w", err)
		}
	}
	if c.StoryOnly {
		return nil
	}
	d.commands(s)
	if c.Quiet {
		fmt.Fprintf(out, "ready: %s\n", d.front)
	}
	s.printf("\n%s\n", s.paint(faint, "Ctrl-C stops it."))
	return d.wait(ctx)
}

// places prints what is where.
func (d *demo) places(s *style, took time.Duration) {
	s.title("Where things are")
	row := func(what, where string) { s.printf("  %-15s %s\n", what, where) }
	row("load balancer", d.front)
	for i, base := range d.direct {
		row(fmt.Sprintf("replica %d", i+1), base)
	}
	row("audit events", d.replicas[0].ClientURL()+"  (NATS; knell events grant)")
	row("data", d.dir)
	row("ready after", round(took))
	s.title("Demo accounts")
	for _, u := range []node.NewUser{alice, demoRoot, mallory} {
		note := "role " + strings.Join(u.Roles, " ") + ": scope " + strings.Join(demoScope(u), " ")
		if u.Disabled {
			note = "disabled"
		}
		s.printf("  %-15s %-22s  %s\n", "user "+u.Name, u.Password, note)
	}
	s.printf("  %-15s %-22s  %s\n", "client "+svc.ID, svc.Secret, "scope "+strings.Join(svc.Scope, " "))
}

// commands prints what to paste into a shell.
func (d *demo) commands(s *style) {
	const extract = `sed 's/.*"%s":"\([^"]*\)".*/\1/'`
	field := func(name string) string { return fmt.Sprintf(extract, name) }
	s.title("Try it: paste these into another shell")
	for _, c := range []struct{ comment, command string }{
		{"log in", fmt.Sprintf("ANSWER=$(curl -s %s/token -d grant_type=password -d username=%s -d password=%s)", d.front, alice.Name, alice.Password)},
		{"", "TOKEN=$(printf %s \"$ANSWER\" | " + field("access_token") + "); REFRESH=$(printf %s \"$ANSWER\" | " + field("refresh_token") + ")"},
		{"verify on each replica", fmt.Sprintf(`for R in %s; do curl -s -o /dev/null -w "$R %%{http_code}\n" -H "Authorization: Bearer $TOKEN" $R/verify; done`, strings.Join(d.direct, " "))},
		{"who am I", fmt.Sprintf(`curl -s -H "Authorization: Bearer $TOKEN" %s/profile`, d.front)},
		{"a new token from the refresh token", fmt.Sprintf(`ANSWER=$(curl -s %s/token -d grant_type=refresh_token -d refresh_token=$REFRESH); echo "$ANSWER"`, d.front)},
		{"log out: 204 when no replica accepts the token any more", fmt.Sprintf(`curl -s -o /dev/null -w "%%{http_code} in %%{time_total} s\n" -X POST -H "Authorization: Bearer $TOKEN" %s/logout`, d.front)},
		{"refused", fmt.Sprintf(`curl -s -i -H "Authorization: Bearer $TOKEN" %s/profile`, d.direct[len(d.direct)-1])},
		{"how a replica sees itself and its peers", fmt.Sprintf("curl -s %s/status", d.direct[0])},
	} {
		if c.comment != "" {
			s.printf("  %s\n", s.paint(faint, "# "+c.comment))
		}
		s.printf("  %s\n", c.command)
	}
}
