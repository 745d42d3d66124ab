package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// tokenPair is the answer of the token endpoint.
type tokenPair struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// 100 requests with one refresh token on three replicas at once: everybody gets the same generation, and the session goes on
// with it. Nobody is logged out.
func TestParallelRefreshes(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, c *cluster) {
		first := c.tokens("a", loginForm)
		refresh := "grant_type=refresh_token&refresh_token="
		got := make([]tokenPair, 100)
		var work sync.WaitGroup
		for i := range got {
			work.Go(func() { got[i] = c.tokens(string(rune('a'+i%3)), refresh+first.Refresh) })
		}
		work.Wait()
		for i, pair := range got {
			c.verified(string(rune('a'+i%3)), "Authorization: Bearer "+pair.Access, 200)
		}
		// The loser's refresh token is as good as the winner's: one chain, whoever goes on.
		next := c.tokens("b", refresh+got[57].Refresh)
		for _, at := range []string{"a", "b", "c"} {
			c.verified(at, "Authorization: Bearer "+next.Access, 200)
		}
		var list struct{ Sessions []json.RawMessage }
		w := call(c.api["c"], "GET", "/sessions", "", "Authorization: Bearer "+next.Access)
		expect(t, w, http.StatusOK)
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || len(list.Sessions) != 1 {
			t.Errorf("%s, %v", w.Body, err)
		}
	})
}

// tokens returns what the token endpoint of a replica gives for a form, and fails the test if that is nothing.
func (c *cluster) tokens(at, form string) tokenPair {
	c.t.Helper()
	var pair tokenPair
	w := call(c.api[at], "POST", "/token", form, formType)
	expect(c.t, w, http.StatusOK)
	if err := json.Unmarshal(w.Body.Bytes(), &pair); err != nil {
		c.t.Error(fmt.Errorf("%s: %w", w.Body, err))
	}
	return pair
}
