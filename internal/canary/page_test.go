package canary

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

var update = flag.Bool("update", false, "write what docs/observability.md has to say of the canary's metrics")

const (
	page  = "../../docs/observability.md"
	begin = "<!-- made from the code: go test ./internal/canary -run TestPage -update -->\n"
	end   = "<!-- end -->\n"
)

// TestPage compares the list of metrics in the documentation with the code, and their names with what Prometheus wants.
func TestPage(t *testing.T) {
	m := newMeters([]string{"r1:8080"})
	m.logout.Observe(1)
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil || len(problems) > 0 {
		t.Error(err, problems)
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	have, after, ok2 := strings.Cut(rest, end)
	switch {
	case !ok || !ok2:
		t.Fatalf("%s has not the lines %s%s", page, begin, end)
	case *update:
		if err := os.WriteFile(page, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	case have != b.String():
		t.Errorf("%s is not what the code says: go test ./internal/canary -run TestPage -update", page)
	}
}
