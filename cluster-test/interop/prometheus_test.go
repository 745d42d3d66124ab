//go:build interop

package interop

import (
	"os/exec"
	"testing"
)

// TestPrometheusRules has Prometheus' own tool check the rules and the configuration of deploy/prometheus, and run the tests of the rules:
// what each series has to be for an alert to fire, and for how long.
func TestPrometheusRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is missing")
	}
	for _, args := range [][]string{
		{"check", "rules", "../../deploy/prometheus/knell.rules.yml"},
		{"check", "config", "../../deploy/prometheus/prometheus.yml"},
		{"test", "rules", "testdata/rules_test.yml"},
	} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
