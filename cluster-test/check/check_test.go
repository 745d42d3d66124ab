package check

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// TestScenarios judges the hand-made histories of testdata/*.txt. A file holds cases:
//
//	# name of the case
//	options slack=1s logout=5s outage
//	10 20 r0 login s1 ok succ=7 exp=300s    (milliseconds from and to, replica or "lb", session, outcome)
//	fault kill r1 30 60
//	log 12 session.started a u=alice        (at all replicas; "log r1 12 ..." at one of them, instead)
//	log 13 session.refreshed a gen=1 void=changed
//	end r1 20 digest=x applied=y withheld=2 (else: the last event, the same digest, and as much withheld as there are gaps)
//	want C1 C2                              (one word a violation, or "nothing")
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no histories: %v", err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		c := newScenario()
		lines := bufio.NewScanner(f)
		for n := 1; lines.Scan(); n++ {
			where := fmt.Sprintf("%s:%d", file, n)
			words := strings.Fields(lines.Text())
			if len(words) == 0 {
				continue
			}
			if words[0] == "want" {
				t.Run(c.name, func(t *testing.T) { c.judge(t, where, words[1:]) })
				c = newScenario()
				continue
			}
			if err := c.add(words); err != nil {
				t.Fatalf("%s: %v", where, err)
			}
		}
	}
}

type scenario struct {
	name string
	h    *history.History
	o    Options
	logs *logs
}

func newScenario() *scenario { return &scenario{h: &history.History{}, logs: &logs{}} }

func (c *scenario) judge(t *testing.T, where string, want []string) {
	slices.SortStableFunc(c.h.Ops, func(a, b history.Op) int { return int(a.Start - b.Start) })
	vs := append(All(c.h, c.o), Logs(c.h, c.logs.all(), c.o)...)
	got := []string{}
	for _, v := range vs {
		got = append(got, string(v.Claim))
	}
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(want, []string{"nothing"}) {
		want = nil
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: found %v, want %v", where, got, want)
		for _, v := range vs {
			t.Log(v)
		}
	}
}

func (c *scenario) add(words []string) error {
	switch words[0] {
	case "#":
		c.name = strings.Join(words[1:], " ")
		return nil
	case "options":
		return c.options(words[1:])
	case "log", "end", "trimmed":
		return c.logs.add(words)
	case "fault":
		c.h.Faults = append(c.h.Faults, history.Fault{
			Name: words[1], Replica: replica(words[2]), Start: millis(words[3]), End: millis(words[4]),
		})
		return nil
	}
	op := history.Op{Start: millis(words[0]), End: millis(words[1]), Replica: replica(words[2])}
	op.Kind = map[string]history.Kind{
		"login": history.Login, "verify": history.Verify, "refresh": history.Refresh, "logout": history.Logout,
	}[words[3]]
	id, gen, _ := strings.Cut(words[4], ".")
	op.Session, op.Gen = number(id[1:]), number(gen)
	outcomes := []string{"unknown", "ok", "refused", "unavailable", "unexpected"}
	op.Outcome = history.Outcome(slices.Index(outcomes, words[5]))
	for _, w := range words[6:] {
		switch key, value, _ := strings.Cut(w, "="); key {
		case "succ":
			op.Successor = uint64(number(value))
		case "exp":
			op.Expires = duration(value)
		case "sid":
			op.SID = value
		default:
			return fmt.Errorf("what is %q", w)
		}
	}
	if op.Kind == 0 || op.End < op.Start {
		return fmt.Errorf("not an operation: %v", words)
	}
	c.h.Ops = append(c.h.Ops, op)
	return nil
}

func (c *scenario) options(words []string) error {
	for _, w := range words {
		switch key, value, _ := strings.Cut(w, "="); key {
		case "slack":
			c.o.Slack = duration(value)
		case "logout":
			c.o.Logout = duration(value)
		case "outage":
			c.o.Outage = true
		default:
			return fmt.Errorf("what is %q", w)
		}
	}
	return nil
}

func number(s string) int32 {
	n, _ := strconv.Atoi(s)
	return int32(n)
}

func millis(s string) time.Duration { return time.Duration(number(s)) * time.Millisecond }

func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}

func replica(s string) int8 {
	if s == "lb" {
		return history.Balanced
	}
	return int8(number(strings.TrimPrefix(s, "r")))
}
