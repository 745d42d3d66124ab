package httpapi

import (
	"fmt"
	"strings"
	"testing"

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
