//go:build interop

package interop

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestParquet exports the events of a replica as NDJSON and as Parquet; hyparquet, a reader in JavaScript that shares no code with the
// writer, finds the same in both.
func TestParquet(t *testing.T) {
	dir := t.TempDir()
	installNode(t, "testdata/parquet", dir)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	first := replicas.Replicas[0]
	for range 3 { // so that there is something that is void, too
		if err := first.Run(ctx, "user", "disable", "bob", "--data", first.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.Run(ctx, "user", "enable", "bob", "--data", first.Data); err != nil {
		t.Fatal(err)
	}
	ndjson, parquet := filepath.Join(dir, "audit.ndjson"), filepath.Join(dir, "audit.parquet")
	end := lastSequence(t, ctx)
	for out, format := range map[string]string{ndjson: "ndjson", parquet: "parquet"} {
		if err := first.Run(ctx, "events", "export", "--data", first.Data, "--to", end, "--format", format, "--out", out); err != nil {
			t.Fatal(err)
		}
	}
	script(t, dir, "node", "read.mjs", parquet, ndjson)
}

// lastSequence returns how far the first replica is.
func lastSequence(t *testing.T, ctx context.Context) string {
	first := replicas.Replicas[0]
	out, err := first.Command(ctx, "events", "stats", "--json", "--data", first.Data).Output()
	if err != nil {
		t.Fatal(err)
	}
	var st struct {
		Last json.Number `json:"last_sequence"`
	}
	if err := json.Unmarshal(out, &st); err != nil {
		t.Fatal(err)
	}
	return st.Last.String()
}

// installNode copies scripts to dir and installs what they import there.
func installNode(t *testing.T, from, dir string) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s is installed (Debian: apt-get install nodejs npm)", program)
		}
	}
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
}
