package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/table.md anew")

const ms = time.Millisecond

// sample has a row of every kind and every form of a cell.
func sample() Report {
	var pace Pace
	pace.complete()
	return Report{
		Environment: Environment{
			Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), CPU: "Processor", Processors: 2, OS: "linux/amd64", Go: "go1.26.0",
			Redis: "7.0.15", Client: "v9.0.0", Load: "0.1 0.2 0.3", Commit: "0123456789abcdef",
		},
		Settings: pace, Lease: 4 * time.Second,
		Rows: []Row{
			{
				Name:        "knell",
				Latency:     &Latency{Checks: 100, P50: 123 * time.Microsecond, P99: 2345 * time.Microsecond, CPU: 45 * time.Microsecond, Idle: 27 * ms},
				Revocations: &Revocations{Sessions: 200, LogoutP50: 1300 * time.Microsecond, LogoutMax: 12 * ms},
				Paused:      &Faulted{Sessions: 20, LogoutMax: 4100 * ms, Good: Service{Unavailable: 1, Back: 400 * ms}},
				Cut:         &Faulted{Sessions: 19, Unfinished: 1, Good: Service{Accepted: 9, Unavailable: 1, UnavailableFrom: 3900 * ms}},
				Down: &Outage{
					What: "two of three replicas killed", Good: Service{Accepted: 3, Unavailable: 4, UnavailableFrom: 3700 * ms},
					Logout: unanswered, Restored: 3,
				},
			},
			{
				Name: "jwt", Latency: &Latency{P50: 1}, Revocations: &Revocations{Sessions: 6, Never: 6, LeakedSessions: 6},
				Paused: &Faulted{Sessions: 20, LeakedSessions: 20, Never: 20}, Cut: &Faulted{Skipped: errNone.Error()}, Down: &Outage{Skipped: errNone.Error()},
			},
			{
				Name: "fail-open", FaultsOnly: true, Cut: &Faulted{Sessions: 20, LeakedSessions: 20, AfterHeal: 2 * ms},
				Down: &Outage{What: "Redis killed", Good: Service{Accepted: 3}, Revoked: Service{Accepted: 1}, Logout: unavailable, Restored: 2},
			},
			{
				Name: "polling", Revocations: &Revocations{Sessions: 10, LastP50: 500 * ms, LastMax: 1001 * ms, Never: 1, LeakedSessions: 10},
				Down: &Outage{What: "Redis killed", Good: Service{Unavailable: 3}, Logout: success, Restored: 3},
			},
			{Name: "redis-pubsub", Skipped: "no redis-server is installed"},
		},
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	if err := sample().Markdown(&out); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/table.md"
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("%s:\n%s\ngot:\n%s", golden, want, &out)
	}
}

func TestJSONHasEverything(t *testing.T) {
	var out bytes.Buffer
	want := sample()
	if err := want.JSON(&out); err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v\nwant\n%+v", err, got, want)
	}
}

func TestServiceInWords(t *testing.T) {
	for want, s := range map[string]Service{
		"no answer":    {Unanswered: 1},
		"go on":        {Accepted: 1, Unanswered: 1},
		"503":          {Unavailable: 2},
		"401 (1 of 3)": {Accepted: 2, Refused: 1},
	} {
		if got := s.String(); got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
}

func TestChoose(t *testing.T) {
	all, err := choose(nil)
	if err != nil || len(all) != len(Names()) {
		t.Errorf("%d of %d, %v", len(all), len(Names()), err)
	}
	two, err := choose([]string{"polling", "jwt"})
	if err != nil || len(two) != 2 || two[0].name != "polling" || two[1].name != "jwt" {
		t.Errorf("%+v, %v", two, err)
	}
	if err := Check([]string{"jwt", "magic"}); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), `"magic"`) {
		t.Errorf("error %v", err)
	}
}
