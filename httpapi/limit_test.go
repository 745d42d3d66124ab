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
				history[guess] += fmt.Sprintln(got.Code, got.Header(), got.Body)
			}
			first := history["alice&password=wrong-password"]
			if history[guess] != first {
				t.Errorf("%s:\n%s and another\n%s", guess, history[guess], first)
			}
			if !strings.Contains(first, `429`) || !strings.Contains(first, `"error":"slow_down"`) || !strings.Contains(first, "Retry-After:[4]") {
				t.Errorf("never stopped:\n%s", first)
			}
		}
		// Sessions never notice.
		c.verified("b", session, 200)
	})
}
