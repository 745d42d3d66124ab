package compare

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/knell-auth/knell/cluster-test/redisd"
	"github.com/knell-auth/knell/cluster-test/rival"
)

// The test program is also the one that runs a rival's replica.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == rival.Command {
		os.Exit(rival.Main(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// brief is as much as can be measured in a moment. It shows that the parts fit, not how fast anything is.
var brief = Pace{
	Sessions: 2, Budget: 50 * ms, Faulted: 2, Rate: 100, Load: 50 * ms, Idle: 1, Fault: 300 * ms, Converge: 100 * ms,
}

func measureBriefly(t *testing.T, names ...string) []Row {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	report, err := Run(t.Context(), Settings{
		Program: program, Knell: "/nonexistent", Dir: t.TempDir(), Names: names, Logf: t.Logf, Pace: brief,
	})
	if err != nil {
		t.Fatal(err)
	}
	return report.Rows
}

func TestRunWithoutRevocation(t *testing.T) {
	row := measureBriefly(t, string(rival.JWT))[0]
	switch {
	case row.Latency.Checks != 5 || row.Latency.P50 <= 0:
		t.Errorf("latency %+v", row.Latency)
	case row.Revocations.Sessions == 0 || row.Revocations.Never != row.Revocations.Sessions || row.Revocations.Leaks == 0:
		t.Errorf("a stateless token was refused: %+v", row.Revocations)
	case row.Paused.LeakedSessions != 2 || row.Paused.Never != 2:
		t.Errorf("a stateless token was refused after a pause: %+v", row.Paused)
	case row.Cut.Skipped == "" || row.Down.Skipped == "":
		t.Errorf("faults of a store that is not there: %+v, %+v", row.Cut, row.Down)
	}
}

func TestRunWithStore(t *testing.T) {
	if redisd.Version(t.Context()) == "" {
		t.Skip(redisd.ErrMissing)
	}
	rows := measureBriefly(t, string(rival.DenyList), string(rival.DenyList)+"-fail-open", string(rival.PubSub))
	closed, open, memory := rows[0], rows[1], rows[2]
	if r := closed.Revocations; r.Sessions == 0 || r.Leaks != 0 || r.Never != 0 {
		t.Errorf("a deny-list leaks: %+v", r)
	}
	if closed.Paused.Leaks != 0 || closed.Paused.Asked == 0 {
		t.Errorf("a deny-list leaks after a pause, or was not asked: %+v", closed.Paused)
	}
	if closed.Cut.Leaks != 0 || closed.Down.Revoked.Accepted != 0 || closed.Down.Good.Accepted != 0 {
		t.Errorf("a closed deny-list accepts without store: %+v, %+v", closed.Cut, closed.Down)
	}
	if open.Down.Revoked.Accepted == 0 || open.Revocations != nil {
		t.Errorf("an open deny-list refuses without store: %+v", open.Down)
	}
	if memory.Cut.LeakedSessions != 2 || memory.Down.Good.Accepted == 0 || memory.Down.Revoked.Accepted != 0 {
		t.Errorf("a replica in memory heard through a cut link, or forgot: %+v, %+v", memory.Cut, memory.Down)
	}
	for _, row := range rows {
		if row.Down.Logout == success || row.Down.Restored != Replicas {
			t.Errorf("%s: %+v", row.Name, row.Down)
		}
	}
}

func TestRunWithoutRedis(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	row := measureBriefly(t, string(rival.PubSub))[0]
	if row.Skipped != redisd.ErrMissing.Error() {
		t.Errorf("skipped because of %q", row.Skipped)
	}
}

func TestRunEndsWhenInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := Settings{Program: program, Dir: t.TempDir(), Names: []string{string(rival.JWT)}, Pace: brief}
	s.Load = time.Hour
	s.Logf = func(format string, _ ...any) {
		if strings.HasPrefix(format, "latency") {
			cancel()
		}
	}
	if _, err := Run(ctx, s); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
