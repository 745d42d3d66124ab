package httpapi

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/knell-auth/knell/node"
)

// Whoever guesses learns nothing from being stopped: all accounts, and none, are answered with the same bytes.
func TestStoppedGuessesTellNothing(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, c *cluster) {
		mallory := node.NewUser{Name: "mallory", Password: passwords["mallory"], Disabled: true}
		if _, err := c.node.CreateUser(t.Context(), mallory, node.Origin{}); err != nil {
			t.Fatal(err)
		}
		session := c.login("a")
		history := map[string]string{}
		for _, guess := range []string{"alice&password=wrong-password", "nobody&password=wrong-password", "mallory&password=" + passwords["mallory"]} {
			for i := range 9 {
				at := string("abc"[i%3])
				got := call(c.api[at], "POST", "/token", "grant_type=password&username="+guess, formType)
				got.Header().Del("X-Request-Id")
				if wait := got.Header().Get("Retry-After"); len(wait) == 1 { // of log time, which beats carry: it depends on the newest one
					got.Header().Set("Retry-After", "seconds")
				}
				history[guess] += fmt.Sprintln(got.Code, got.Header(), got.Body)
			}
			first := history["alice&password=wrong-password"]
			if history[guess] != first {
				t.Errorf("%s:\n%s and another\n%s", guess, history[guess], first)
			}
			if !strings.Contains(first, `429`) || !strings.Contains(first, `"error":"slow_down"`) || !strings.Contains(first, "Retry-After:[seconds]") {
				t.Errorf("never stopped:\n%s", first)
			}
		}
		// Sessions never notice.
		c.verified("b", session, 200)
	})
}

// A log-in page and a change of the password come out of the same budget as /token, and say so in their own way.
func TestEveryWayIsStopped(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, c *cluster) {
		addApp(t, c.node)
		tokens, err := c.node.Login(t.Context(), node.LoginRequest{Name: "carol", Password: carolPassword})
		if err != nil {
			t.Fatal(err)
		}
		a, b := asDescribed(t, c.api["a"]), asDescribed(t, c.api["b"])
		form := fill(t, ask(a, authorization()), "carol", "wrong-password")
		for range 9 {
			submit(a, form)
		}
		answer := submit(a, form)
		expect(t, answer, 429, "Content-Type: text/html; charset=utf-8")
		if answer.Header().Get("Retry-After") == "" || !strings.Contains(answer.Body.String(), "wait before the next one") {
			t.Errorf("%v\n%s", answer.Header(), answer.Body)
		}
		bearer := "Authorization: Bearer " + tokens.AccessToken
		answer = call(b, "POST", "/profile/password", `{"old_password":"wrong-password","new_password":"another-password-1"}`, "Content-Type: application/json", bearer)
		expect(t, answer, 429, "Content-Type: application/problem+json")
		expect(t, call(b, "POST", "/token", "grant_type=password&username=carol&password=wrong-password", formType), 429)
		expect(t, call(b, "GET", "/profile", "", bearer), 200)
	})
}

// A user name and a password that come with a request are limited too, which is said to proxies as to everybody. A token of the same
// user is not. The answer has the request id of what is recorded.
func TestBasicIsStopped(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, c *cluster) {
		session := c.login("a")
		h := asDescribed(t, c.api["a"])
		guess := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("alice:wrong-password"))
		right := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("alice:"+passwords["alice"]))
		got := call(h, "GET", "/verify", "", guess)
		expect(t, got, 401)
		if id := got.Header().Get("X-Request-Id"); !strings.Contains(got.Body.String(), id) || !c.recorded(id) {
			t.Errorf("nothing is recorded about request %q", id)
		}
		for range 8 {
			call(h, "GET", "/profile", "", guess)
		}
		for _, path := range []string{"/verify", "/profile", "/sessions", "/users", "/userinfo"} {
			for _, credential := range []string{guess, right} {
				got := call(h, "GET", path, "", credential)
				expect(t, got, 429, "Content-Type: application/problem+json", "WWW-Authenticate: -")
				if seconds, err := strconv.Atoi(got.Header().Get("Retry-After")); err != nil || seconds < 1 {
					t.Errorf("%s: Retry-After %d, %v", path, seconds, err)
				}
			}
		}
		expect(t, call(h, "GET", "/profile", "", session), 200)
	}, withBasic)
}

// recorded reports whether the log has an event of a request.
func (c *cluster) recorded(requestID string) (found bool) {
	c.t.Helper()
	synctest.Wait()
	_, err := c.node.ReadLog(c.t.Context(), 0, 0, func(e node.LogEntry) error {
		found = found || strings.Contains(string(e.Event), requestID)
		return nil
	})
	if err != nil {
		c.t.Error(err)
	}
	return found
}
