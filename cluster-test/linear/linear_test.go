package linear

import (
	"bufio"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/knell-auth/knell/cluster-test/history"
)

// TestScenarios judges the hand-made histories of testdata/*.txt. A file holds cases:
//
//	# name of the case
//	10 20 login ok 7               (milliseconds from and to, what, outcome, and for login and refresh which tokens it gave)
//	30 40 refresh.0 ok 8           (with the token of generation 0; the same for verify and logout)
//	50 60 verify.1 ok
//	70 80 logout.1 unknown
//	want legal                     (or: illegal)
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
		name, h := "", &history.History{}
		lines := bufio.NewScanner(f)
		for n := 1; lines.Scan(); n++ {
			words := strings.Fields(lines.Text())
			switch {
			case len(words) == 0:
			case words[0] == "#":
				name = strings.Join(words[1:], " ")
			case words[0] == "want":
				t.Run(name, func(t *testing.T) { judge(t, fmt.Sprintf("%s:%d", file, n), h, words[1]) })
				h = &history.History{}
			default:
				op, err := parse(words)
				if err != nil {
					t.Fatalf("%s:%d: %v", file, n, err)
				}
				h.Ops = append(h.Ops, op)
			}
		}
	}
}

func judge(t *testing.T, where string, h *history.History, want string) {
	slices.SortStableFunc(h.Ops, func(a, b history.Op) int { return cmp.Compare(a.Start, b.Start) })
	got := "legal"
	r := Check(h, 0, time.Minute)
	if len(r.Illegal) > 0 {
		got = "illegal"
	}
	if got != want || r.Judged != 1 || len(r.Undecided) > 0 {
		t.Errorf("%s: %s, want %s: %+v", where, got, want, r)
	}
}

func parse(words []string) (history.Op, error) {
	kind, gen, _ := strings.Cut(words[2], ".")
	kinds := []string{"", "login", "verify", "refresh", "logout"}
	outcomes := []string{"unknown", "ok", "refused", "unavailable", "unexpected"}
	op := history.Op{
		Session: 1, Kind: history.Kind(slices.Index(kinds, kind)), Outcome: history.Outcome(slices.Index(outcomes, words[3])),
		Start: millis(words[0]), End: millis(words[1]), Gen: int32(number(gen)),
	}
	for _, w := range words[4:] {
		if at, ok := strings.CutPrefix(w, "exp="); ok {
			op.Expires = millis(at)
		} else {
			op.Successor = uint64(number(w))
		}
	}
	if int8(op.Kind) < 1 || int8(op.Outcome) < 0 || op.End < op.Start {
		return op, fmt.Errorf("not an operation: %v", words)
	}
	return op, nil
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func millis(s string) time.Duration { return time.Duration(number(s)) * time.Millisecond }

// TestTellingChangesNoVerdict judges random short histories, most of which make no sense, with all their verifications and with
// those that tell something.
func TestTellingChangesNoVerdict(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	verdicts := map[porcupine.CheckResult]int{}
	shorter := 0
	for range 20000 {
		ops := randomOps(rng)
		few := telling(ops)
		if len(few) < len(ops) {
			shorter++
		}
		want := porcupine.CheckOperationsTimeout(model, steps(ops, defaultGrace), time.Minute)
		if got := porcupine.CheckOperationsTimeout(model, steps(few, defaultGrace), time.Minute); got != want {
			t.Fatalf("%s, with all verifications %s: %+v", got, want, ops)
		}
		verdicts[want]++
	}
	if verdicts[porcupine.Ok] < 1000 || verdicts[porcupine.Illegal] < 1000 || shorter < 1000 {
		t.Errorf("verdicts %v, %d histories became shorter: that tests little", verdicts, shorter)
	}
}

// randomOps returns a login and some operations around it.
func randomOps(rng *rand.Rand) []history.Op {
	ops := []history.Op{{Kind: history.Login, Outcome: history.OK, Start: 10, End: 20, Successor: 1}}
	for range 2 + rng.IntN(7) {
		op := history.Op{Kind: history.Verify, Outcome: history.Outcome(1 + rng.IntN(2))}
		switch rng.IntN(6) {
		case 0:
			op.Kind, op.Outcome = history.Logout, history.Outcome(rng.IntN(2))
		case 1:
			op.Kind, op.Outcome = history.Refresh, history.Outcome(rng.IntN(3))
			op.Gen = int32(rng.IntN(2))
			op.Successor = uint64(op.Gen) + 2
		}
		op.Start = time.Duration(5 + rng.IntN(60))
		op.End = op.Start + time.Duration(rng.IntN(25))
		ops = append(ops, op)
	}
	slices.SortStableFunc(ops, func(a, b history.Op) int { return cmp.Compare(a.Start, b.Start) })
	return ops
}

func TestOutOfTimeIsUndecided(t *testing.T) {
	h := &history.History{Ops: []history.Op{
		{Kind: history.Login, Outcome: history.OK, Session: 1, Start: 1, End: 2},
		{Kind: history.Login, Outcome: history.OK, Session: 2, Start: 1, End: 2},
		{Kind: history.Logout, Outcome: history.OK, Session: 3, Start: 1, End: 2}, // of which there is no login
	}}
	if r := Check(h, 0, -1); r.Judged != 2 || len(r.Undecided) != 2 || len(r.Illegal) != 0 {
		t.Errorf("%+v", r)
	}
}

func BenchmarkCheck(b *testing.B) {
	h := &history.History{}
	for s := range int32(200) {
		h.Ops = append(h.Ops, history.Op{Kind: history.Login, Outcome: history.OK, Session: s + 1, Start: 1, End: 2, Successor: 1})
		for i := range time.Duration(500) {
			h.Ops = append(h.Ops, history.Op{Kind: history.Verify, Outcome: history.OK, Session: s + 1, Start: 3 + i, End: 900 + i})
		}
		for i := range int32(4) { // one after the other times out
			h.Ops = append(h.Ops, history.Op{Kind: history.Refresh, Session: s + 1, Start: time.Duration(600 + i), End: time.Duration(700 + i)})
			h.Ops = append(h.Ops, history.Op{Kind: history.Logout, Session: s + 1, Start: time.Duration(1500 + i), End: time.Duration(1600 + i)})
		}
		h.Ops = append(h.Ops, history.Op{Kind: history.Logout, Outcome: history.OK, Session: s + 1, Start: 1700, End: 1800})
	}
	for b.Loop() {
		if r := Check(h, 0, time.Minute); r.Judged != 200 || len(r.Illegal)+len(r.Undecided) > 0 {
			b.Fatalf("%+v", r)
		}
	}
}
