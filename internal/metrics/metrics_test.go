package metrics

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/password"
	"github.com/knell-auth/knell/node"
)

var update = flag.Bool("update", false, "write what docs/observability.md has to say of the metrics")

// everything is a replica that has something of everything to say.
type everything struct{}

func (everything) Status() node.Status {
	return node.Status{
		Node: "r1", Applied: 100, Lease: 3 * time.Second, Ready: true, Users: 3, Sessions: 5, Revoked: 2, Standing: node.Standing{LogFirst: 1, Snapshot: 90}, LogBytes: 81,
		LogMaxBytes: 100, LogSheds: "attempts", Pending: 1,
		Peers: []node.Peer{{Node: "r2", Applied: 98, Horizon: 4 * time.Second}, {Node: "r2", Incarnation: "old", Applied: 7}, {Node: "r3"}},
	}
}

func (everything) Stats() node.Stats {
	h := node.Histogram{Bounds: []time.Duration{time.Millisecond, time.Second}, Counts: []uint64{2, 1, 1}, Sum: 3 * time.Second}
	return node.Stats{
		Lease: node.LeaseStats{Length: 5 * time.Second, Age: 2 * time.Second},
		Log:   node.LogStats{Last: 104, Time: time.Unix(1767225600, 0), Shed: 1, LeaderChanges: 2}, Snapshot: time.Unix(1767225000, 0),
		Level: 1, Known: 2, Clients: 4, APIKeys: 6, Hashing: password.Stats{Running: 1, Queued: 2, Rejected: 3, Waits: 4, Waited: time.Second},
		Refusals: map[string]uint64{"revoked": 7, "other": 0}, Verifications: h, Logouts: h, Barriers: h,
		Unfinished: map[string]uint64{"pending": 1, "unknown": 0}, StepsBack: 1,
	}
}

func (everything) Webhooks() ([]node.Webhook, error) {
	return []node.Webhook{{Name: "siem", Paused: "operator", Cursor: 40, Failing: time.Unix(1767225000, 0)}}, nil
}

func (everything) Grants(context.Context) ([]node.GrantState, error) {
	return []node.GrantState{{Grant: node.Grant{Name: "team"}, Here: 1, Reader: &events.ReaderState{Acked: 50, Pending: 9, Unacked: 1}}}, nil
}

// full returns metrics of which each has a value.
func full() *Metrics {
	m := New(Config{Version: "1.2.3", Expires: func() map[string]time.Time { return map[string]time.Time{"https": time.Unix(1893456000, 0)} }})
	m.Attach(everything{})
	m.Request("GET", "/users/{id}", 404, 3*time.Millisecond)
	m.Verified(200)
	m.Verified(401)
	return m
}

// Names, units and helps are as Prometheus wants them.
func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(full().registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// What a scraper is told, in the format that it asks for.
func TestScrape(t *testing.T) {
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	w := httptest.NewRecorder()
	full().Handler().ServeHTTP(w, r)
	body := w.Body.String()
	if kind := w.Header().Get("Content-Type"); !strings.HasPrefix(kind, "application/openmetrics-text") || !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("%s: %s", kind, body)
	}
	for _, line := range []string{
		`knell_build_info{goversion="`, `knell_ready 1.0`, `knell_log_copy_current 1.0`, `knell_lease_remaining_seconds 3.0`, `knell_lease_age_seconds 2.0`, `knell_log_lag_messages 4.0`,
		`knell_peer_lag_messages{peer="r2"} 2.0`, `knell_peer_horizon_seconds{peer="r3"} 0.0`, `knell_peers 1.0`,
		`knell_logout_duration_seconds_bucket{le="1.0"} 3`, `knell_logout_duration_seconds_count 4`, `knell_logout_duration_seconds_sum 3.0`,
		`knell_verify_refusals_total{reason="revoked"} 7.0`, `knell_hashing_wait_seconds_sum 1.0`, `knell_hashing_shed_total 3.0`,
		`knell_webhook_paused{webhook="siem"} 1.0`, `knell_webhook_lag_messages{webhook="siem"} 60.0`, `knell_grant_lag_events{grant="team"} 10.0`,
		`knell_http_requests_total{code="2xx",method="GET",route="/verify"} 1.0`, `knell_http_requests_total{code="4xx",method="GET",route="/verify"} 1.0`,
		`knell_http_request_duration_seconds_bucket{code="4xx",route="/users/{id}",le="0.005"} 1`, `knell_clock_steps_total{direction="back"} 1.0`,
		`knell_certificate_expiry_timestamp_seconds{use="https"} 1.893456e+09`, `go_goroutines `, `process_cpu_seconds_total `,
	} {
		if !strings.Contains(body, "\n"+line) {
			t.Errorf("no line %s", line)
		}
	}
	early := httptest.NewRecorder()
	New(Config{}).Handler().ServeHTTP(early, httptest.NewRequest("GET", "/metrics", nil))
	if text := early.Body.String(); !strings.Contains(text, "\nknell_ready 0\n") || strings.Contains(text, "knell_users") {
		t.Errorf("before there is a node: %s", text)
	}
}

const (
	page  = "../../docs/observability.md"
	begin = "<!-- made from the code: go test ./internal/metrics -run TestPage -update -->\n"
	end   = "<!-- end -->\n"
)

// TestPage compares the list of metrics in the documentation with the code.
func TestPage(t *testing.T) {
	families, err := full().registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "knell_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	comparePage(t, b.String())
}

func comparePage(t *testing.T, want string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	have, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has not the lines %s%s", page, begin, end)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if have != want {
		t.Errorf("%s is not what the code says: go test ./internal/metrics -run TestPage -update", page)
	}
}

// metricName finds names of metrics in a query.
var metricName = regexp.MustCompile(`\b(?:knell|go|process)_[a-z0-9_]+\b`)

// Every metric that the rules and the dashboard name is one that is exported, as the documentation lists them, and every alert has its runbook.
func TestDeployed(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	families, err := full().registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(knell_[a-z_]+)` \\| (\\w+) ").FindAllStringSubmatch(string(text), -1) {
		known[m[1]] = true
		if m[2] == "histogram" || m[2] == "summary" {
			known[m[1]+"_bucket"], known[m[1]+"_sum"], known[m[1]+"_count"] = true, true, true
		}
	}
	for _, f := range families {
		known[f.GetName()] = true
	}
	named := map[string][]string{"knell.rules.yml": ruleQueries(t, string(text)), "knell.json": panelQueries(t)}
	for file, queries := range named {
		if len(queries) < 20 {
			t.Errorf("%s: %d queries", file, len(queries))
		}
		for _, q := range queries {
			names := metricName.FindAllString(q, -1)
			if len(names) == 0 && !strings.Contains(q, "up{") {
				t.Errorf("%s: no metric in %s", file, q)
			}
			for _, name := range names {
				if !known[name] {
					t.Errorf("%s: nobody exports %s", file, name)
				}
			}
		}
	}
}

// ruleQueries returns the expressions of the rules. It fails the test for an alert without a runbook in the documentation.
func ruleQueries(t *testing.T, doc string) (queries []string) {
	rules, err := os.ReadFile("../../deploy/prometheus/knell.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	alerts := strings.Split(string(rules), "\n      - alert: ")
	for _, a := range alerts[1:] {
		name, _, _ := strings.Cut(a, "\n")
		if !strings.Contains(a+"\n", "observability.md#"+strings.ToLower(name)+"\n") || !strings.Contains(doc, "\n### "+name+"\n") {
			t.Errorf("%s has no runbook", name)
		}
	}
	for _, heading := range regexp.MustCompile(`(?m)^### (Knell\w+)$`).FindAllStringSubmatch(doc, -1) {
		if !strings.Contains(string(rules), "- alert: "+heading[1]+"\n") {
			t.Errorf("%s is no alert", heading[1])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^ +expr: (.+)$`).FindAllStringSubmatch(string(rules), -1) {
		queries = append(queries, m[1])
	}
	return queries
}

// panelQueries returns the expressions of the dashboard's panels.
func panelQueries(t *testing.T) (queries []string) {
	text, err := os.ReadFile("../../deploy/grafana/knell.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		UID    string
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil || dashboard.UID != "knell" {
		t.Fatal(err, dashboard.UID)
	}
	var ids []int
	for _, p := range dashboard.Panels {
		if slices.Contains(ids, p.ID) || p.Title == "" {
			t.Errorf("panel %d %q", p.ID, p.Title)
		}
		ids = append(ids, p.ID)
		for _, target := range p.Targets {
			queries = append(queries, target.Expr)
		}
	}
	for _, file := range []string{"datasources/knell.yml", "dashboards/knell.yml"} {
		if _, err := os.Stat(filepath.Join("../../deploy/grafana/provisioning", file)); err != nil {
			t.Error(err)
		}
	}
	return queries
}
