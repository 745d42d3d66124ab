package natsd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMarker: a directory serves the server that claimed it, and no other.
func TestMarker(t *testing.T) {
	standalone := Config{Name: "n1"}
	clustered := Config{Name: "n1", Cluster: &Cluster{Name: "c"}}
	joined := Config{Name: "n1", Join: &Join{Name: "c"}}
	for _, c := range []struct {
		name         string
		first, later Config
		want         string // "" for success
	}{
		{"standalone again", standalone, standalone, ""},
		{"cluster again", clustered, clustered, ""},
		{"standalone as cluster", standalone, clustered, "start without --cluster-listen"},
		{"cluster as standalone", clustered, standalone, "--cluster-name c"},
		{"another cluster", clustered, Config{Name: "n1", Cluster: &Cluster{Name: "d"}}, `cluster "c", not "d": start with --cluster-name c`},
		{"another server", clustered, Config{Name: "n2", Cluster: clustered.Cluster}, `server "n1", not "n2": start with --name n1`},
		{"joined again", joined, joined, ""},
		{"cluster as joined", clustered, joined, "another kind (cluster): start with --cluster-listen"},
		{"joined as cluster", joined, clustered, "another kind (joined): start with --join and --cluster-name c"},
		{"joined as standalone", joined, standalone, "start with --join"},
		{"standalone as joined", standalone, joined, "start without --cluster-listen, --join and --nats-url"},
		{"another standalone", standalone, Config{Name: "n2"}, "--name n1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.first.Dir = t.TempDir()
			c.later.Dir = c.first.Dir
			if err := checkMarker(c.first); err != nil {
				t.Fatal(err)
			}
			before := markerText(t, c.first.Dir)
			err := checkMarker(c.later)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (!errors.Is(err, ErrMode) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.first.Dir)):
				t.Errorf("error %v, want %q", err, c.want)
			}
			if after := markerText(t, c.first.Dir); after != before {
				t.Errorf("the marker became %s", after)
			}
		})
	}
}

func markerText(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, markerFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestMarkerDamaged: a marker that can't be read, or that is gone from a store, stops the start.
func TestMarkerDamaged(t *testing.T) {
	for _, text := range []string{
		"", "garbage", "{}", "null", `{"format":1}`, "\x00\x00\x00",
		`{"format":1,"mode":"standalone","server":"n1","created":"2026-01-01T00:00:00Z"`,
		`{"format":1,"mode":"standalone","server":"n1","created":"2026-01-01T00:00:00Z"}{}`,
		`{"format":1,"mode":"standalone","cluster":"c","server":"n1","created":"2026-01-01T00:00:00Z"}`,
		`{"format":1,"mode":"cluster","server":"n1","created":"2026-01-01T00:00:00Z"}`,
		`{"format":1,"mode":"both","server":"n1","created":"2026-01-01T00:00:00Z"}`,
		`{"format":2,"mode":"standalone","server":"n1","created":"2026-01-01T00:00:00Z"}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, markerFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Start(testContext(t), Config{Dir: dir, Name: "n1"}); err == nil || !strings.Contains(err.Error(), markerFile) {
			t.Errorf("marker %q: error %v", text, err)
		}
	}

	dir := t.TempDir()
	startTest(t, Config{Dir: dir, Name: "n1"}).Kill()
	if err := os.Remove(filepath.Join(dir, markerFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(testContext(t), Config{Dir: dir, Name: "n1"}); err == nil || !strings.Contains(err.Error(), "holds a store but no "+markerFile) {
		t.Errorf("store without a marker: error %v", err)
	}
}
