package traffic

import (
	"context"
	"testing"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/history"
)

// drive runs a fixed number of steps of every worker, one after the other, against y.
func drive(t *testing.T, y *toy) *history.History {
	t.Helper()
	rec := history.NewRecorder()
	tr, err := Start(context.Background(), Config{Targets: y.start(t), Users: []User{{"u", "p"}}, Sessions: 30, Seed: 1}, rec)
	if err != nil {
		t.Fatal(err)
	}
	w := tr.own()
	for ; w.steps < 12; w.steps++ {
		tr.arrive(w)
		tr.renew(w)
		tr.steal(w)
		tr.leave(w)
		tr.balanced(w)
		for _, c := range tr.clients {
			tr.verify(w, c)
		}
		tr.checks.Wait()
	}
	tr.Stop()
	_ = tr.Sweep(context.Background()) // its error only repeats what the history shows
	return rec.History()
}

func TestCheckerCatchesDefectiveStores(t *testing.T) {
	tests := []struct {
		defect string
		want   check.Claim // "": nothing
	}{
		{none, ""},
		{lagging, check.C1},
		{forgetful, check.C2},
		{rude, check.C2},
		{forking, check.C3},
		{reusing, check.C3},
		{strange, check.Interface},
	}
	for _, tt := range tests {
		t.Run(tt.defect, func(t *testing.T) {
			h := drive(t, &toy{defect: tt.defect})
			found := check.All(h, check.Options{})
			if tt.want == "" && len(found) > 0 {
				t.Errorf("%d violations, the first: %v", len(found), found[0])
			}
			if tt.want != "" && check.Count(found, tt.want) == 0 {
				t.Errorf("no violation of %s among %d", tt.want, len(found))
			}
		})
	}
}

func TestHistoryHoldsEveryKind(t *testing.T) {
	h := drive(t, &toy{})
	counts := map[history.Kind]int{}
	for _, op := range h.Ops {
		counts[op.Kind]++
		if op.End < op.Start || op.Session == 0 {
			t.Errorf("broken record: %+v", op)
		}
	}
	// 30 sessions and 12 arrivals; 3 storms of 3 and 9 single refreshes; before and after each logout 3 verifications.
	want := map[history.Kind]int{history.Login: 30, history.Refresh: 18, history.Logout: 12, history.Verify: 100}
	for kind, n := range want {
		if counts[kind] < n {
			t.Errorf("%d of %s, want at least %d", counts[kind], kind, n)
		}
	}
}

func TestUnreachableReplica(t *testing.T) {
	y := &toy{}
	targets := y.start(t)
	rec := history.NewRecorder()
	tr, err := Start(context.Background(), Config{Targets: targets, Users: []User{{"u", "p"}}, Sessions: 20, Seed: 1}, rec)
	if err != nil {
		t.Fatal(err)
	}
	// Nobody listens on port 1 of loopback.
	tr.clients[1] = newClient(1, "http://127.0.0.1:1", time.Second, rec.Now)
	w := tr.own()
	for ; w.steps < 5; w.steps++ {
		tr.balanced(w)
		tr.leave(w)
		tr.verify(w, tr.clients[1])
	}
	tr.Stop()
	if err := tr.Sweep(context.Background()); err == nil {
		t.Error("the sweep does not say that a replica gave no answer")
	}
	h := rec.History()
	for _, op := range h.Ops {
		if op.Replica == 1 && op.Start > 0 && op.Kind == history.Verify && op.Outcome != history.Unavailable {
			t.Errorf("verification without a connection: %+v", op)
		}
		if op.Replica == history.Balanced && op.Outcome != history.OK {
			t.Errorf("the balancer gave up: %+v", op)
		}
	}
	if out := check.Outages(h); len(out) != 1 || out[0].Replica != 1 {
		t.Errorf("outages: %+v", out)
	}
}

func TestStartRefusesNonsense(t *testing.T) {
	if _, err := Start(context.Background(), Config{Targets: []string{"not a url"}}, history.NewRecorder()); err == nil {
		t.Error("no error for a target that is no URL")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	cfg := Config{Targets: []string{"http://127.0.0.1:1"}, Users: []User{{"u", "p"}}, Sessions: 1}
	if _, err := Start(ctx, cfg, history.NewRecorder()); err == nil {
		t.Error("no error when no session can be made")
	}
}

func TestJudge(t *testing.T) {
	tests := []struct {
		kind   history.Kind
		status int
		body   string
		want   history.Outcome
	}{
		{history.Verify, 200, "", history.OK},
		{history.Verify, 401, "", history.Refused},
		{history.Verify, 503, "", history.Unavailable},
		{history.Verify, 500, "", history.Unexpected},
		{history.Logout, 204, "", history.OK},
		{history.Logout, 503, "", history.Unknown},
		{history.Logout, 202, "", history.Unexpected}, // nobody asked for it
		{history.Refresh, 400, `{"error":"invalid_grant"}`, history.Refused},
		{history.Refresh, 400, `{"error":"invalid_request"}`, history.Unexpected},
		{history.Login, 503, "", history.Unknown},
	}
	for _, tt := range tests {
		if got := judge(tt.kind, tt.status, []byte(tt.body)); got != tt.want {
			t.Errorf("%s answered %d %s: %s, want %s", tt.kind, tt.status, tt.body, got, tt.want)
		}
	}
}
