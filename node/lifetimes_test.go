package node

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLifetimeScenario runs testdata/lifetimes.txt on two replicas in turn: a line that begins with "> " is a command, and
// what follows is what comes of it.
func TestLifetimeScenario(t *testing.T) {
	const file = "testdata/lifetimes.txt"
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.edit = func(c *Config) {
			c.AccessTTL, c.RefreshIdle, c.SessionTTL = 10*time.Second, time.Minute, 5*time.Minute
			c.Remembered = Remembered{4 * time.Minute, 20 * time.Minute}
			c.Lease = 20 * time.Second // fewer beats in all the time
		}
		r.start("a")
		r.start("b")
		r.user("alice", alicePassword)
		l := lifetimes{r, map[string]Tokens{}, 0}
		for line := range strings.Lines(string(want)) {
			line = strings.TrimRight(line, "\n")
			switch {
			case strings.HasPrefix(line, "> "):
				fmt.Fprintf(&got, "%s\n%s", line, l.run(t, strings.Fields(line[2:])))
			case strings.HasPrefix(line, "#") || line == "":
				fmt.Fprintln(&got, line)
			}
		}
	})
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got.String() != string(want) {
		t.Errorf("output differs; run with -update and review.\n got:\n%s", got.String())
	}
}

// lifetimes is the state of a scenario.
type lifetimes struct {
	r     *rig
	held  map[string]Tokens
	calls int
}

func (l *lifetimes) run(t *testing.T, words []string) string {
	l.calls++
	n := l.r.nodes[string(rune('a'+l.calls%2))]
	ctx := context.Background()
	var tok Tokens
	var err error
	switch words[0] {
	case "wait":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(d)
		return ""
	case "sessions":
		return fmt.Sprintln(n.Status().Sessions)
	case "verify":
		_, err := n.Verify(ctx, l.held[words[1]].AccessToken)
		return fmt.Sprintln(err)
	case "login":
		tok, err = n.Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Remember: slices.Contains(words, "remember")})
	case "refresh":
		tok, err = n.Refresh(ctx, RefreshRequest{Token: l.held[words[1]].RefreshToken})
	default:
		t.Fatalf("no command %q", words[0])
	}
	if err != nil {
		return fmt.Sprintln(err)
	}
	l.held[words[1]] = tok
	u, _ := n.UserByName("alice")
	sessions := must(n.UserSessions(u.ID))(t)
	i := slices.IndexFunc(sessions, func(s Session) bool { return s.ID == tok.Session })
	if i < 0 {
		t.Fatalf("%s is not among the sessions", words[1])
	}
	return fmt.Sprintf("ok access %v session %v\n", tok.ExpiresIn, time.Until(sessions[i].Expires).Round(time.Second))
}
