package node

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
)

// readLog returns what a replica makes of the log.
func (r *rig) readLog(at string, after, upTo uint64) ([]LogEntry, LogEnd) {
	r.t.Helper()
	var all []LogEntry
	end, err := r.nodes[at].ReadLog(context.Background(), after, upTo, func(e LogEntry) error {
		e.Event = append(json.RawMessage(nil), e.Event...)
		all = append(all, e)
		return nil
	})
	if err != nil {
		r.t.Fatalf("read the log at %s: %v", at, err)
	}
	return all, end
}

func TestReadLog(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		tok := r.login("a")
		// Both replicas decide on the same state, and the log's order makes one of the two events void.
		hold := make(chan struct{})
		r.links["b"].OnAppend(holdRefresh(hold))
		late := make(chan error, 1)
		go func() {
			_, err := r.nodes["b"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken})
			late <- err
		}()
		synctest.Wait()
		if _, err := r.nodes["a"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken}); err != nil {
			t.Fatal(err)
		}
		close(hold)
		if err := <-late; err != nil {
			t.Fatal(err)
		}
		if err := r.nodes["c"].Logout(ctx, tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		upTo := r.nodes["a"].Status().Applied
		want, end := r.readLog("a", 0, 0)
		if end.Seq != upTo || end.Digest != end.Applied || end.Digest.String() != r.nodes["a"].Status().Digest {
			t.Errorf("ends with %+v", end)
		}
		if end.Withheld != 2 || uint64(len(want))+end.Withheld != end.Seq { // the log's key and alice
			t.Errorf("%d entries, %d withheld, up to %d", len(want), end.Withheld, end.Seq)
		}
		counts := map[string]int{}
		for _, e := range want {
			counts[e.Type+" "+e.Void]++
			family := strings.Split(e.Type, ".")[1]
			if hidden := family == "node"; hidden != (len(e.Event) == 0) || family == "secret" || family == "log" {
				t.Errorf("%s is shown as %s", e.Type, e.Event)
			}
		}
		for what, n := range map[string]int{
			"knell.session.started ": 1, "knell.session.refreshed ": 1, "knell.session.refreshed changed": 1,
			"knell.session.refresh_replayed ": 1, "knell.revoked.session ": 1, "knell.account.user_created ": 1,
		} {
			if counts[what] != n {
				t.Errorf("%d of %q, want %d", counts[what], what, n)
			}
		}
		for _, other := range []string{"b", "c"} {
			got, e := r.readLog(other, 0, upTo)
			if e != end || len(got) != len(want) {
				t.Errorf("%s reads %d entries and ends with %+v", other, len(got), e)
			}
			for i := range min(len(got), len(want)) {
				if got[i].Seq != want[i].Seq || got[i].Void != want[i].Void || string(got[i].Event) != string(want[i].Event) {
					t.Errorf("%s reads %+v, a read %+v", other, got[i], want[i])
				}
			}
		}
	})
}

// holdRefresh holds back the first append of a refresh until hold is closed.
func holdRefresh(hold <-chan struct{}) func(*events.Event) eventstest.Fault {
	return func(e *events.Event) eventstest.Fault {
		if _, ok := e.Data.(*events.SessionRefreshed); ok {
			<-hold
		}
		return eventstest.Fault{}
	}
}

func TestReadLogPart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		all, end := r.readLog("b", 0, 0)
		half := end.Seq / 2
		part, middle := r.readLog("b", 0, half)
		if middle.Seq != half || middle.Applied != middle.Digest || middle.Digest == end.Digest {
			t.Errorf("up to %d ends with %+v", half, middle)
		}
		rest, again := r.readLog("b", half, end.Seq)
		if again.Digest != end.Digest || len(part)+len(rest) != len(all) || again.Withheld+middle.Withheld != end.Withheld {
			t.Errorf("%d and %d entries of %d, ends with %+v", len(part), len(rest), len(all), again)
		}
		if none, e := r.readLog("b", end.Seq, end.Seq); len(none) != 0 || e.Digest != end.Digest {
			t.Errorf("after the end: %d entries, %+v", len(none), e)
		}
		broken := errors.New("broken")
		n := r.nodes["b"]
		for name, got := range map[string]error{
			"after beyond the end":   readErr(n, end.Seq+1000, 0, nil),
			"up_to beyond the end":   readErr(n, 0, end.Seq+1000, nil),
			"up_to before after":     readErr(n, 9, 3, nil),
			"the reader's own error": readErr(n, 0, 0, broken),
		} {
			want := ErrBadRequest
			if strings.HasPrefix(name, "the reader") {
				want = broken
			}
			if !errors.Is(got, want) {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
	})
}

// readErr returns the error of a reading whose reader returns deliver's.
func readErr(n *Node, after, upTo uint64, deliver error) error {
	_, err := n.ReadLog(context.Background(), after, upTo, func(LogEntry) error { return deliver })
	return err
}

func TestReadLogEndsWithTheNode(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.links["c"].Cut()
		ended := make(chan error, 1)
		n := r.nodes["c"]
		go func() { ended <- readErr(n, 0, 0, nil) }()
		synctest.Wait()
		r.kill("c")
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want %v", err, ErrClosed)
		}
	})
}
