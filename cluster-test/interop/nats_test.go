//go:build interop

package interop

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// natsCLI is the version of the NATS command line client.
const natsCLI = "github.com/nats-io/natscli/nats@v0.5.0"

// newGrant grants the events to somebody new and returns the file with the seed, and the name of the consumer.
func newGrant(t *testing.T, name string) (seed, consumer string) {
	t.Helper()
	first := replicas.Replicas[0]
	seed = filepath.Join(t.TempDir(), name+".nk")
	if err := first.Run(t.Context(), "events", "grant", name, "--data", first.Data, "--out", seed); err != nil {
		t.Fatal(err)
	}
	token, err := login(first.URL, "root")
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", first.URL+"/event-grants", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct {
		Grants []struct{ Name, Consumer string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	for _, g := range list.Grants {
		if g.Name == name {
			return seed, g.Consumer
		}
	}
	t.Fatalf("no grant: %+v", list)
	return "", ""
}

// natsServers are the doors of the replicas.
func natsServers() string {
	var list []string
	for _, r := range replicas.Replicas {
		list = append(list, r.NATS)
	}
	return strings.Join(list, ",")
}

// TestNATSCLI reads events with the nats command as docs/consumers.md has it: without an acknowledgement they come again, with one the next
// ones follow.
func TestNATSCLI(t *testing.T) {
	nats, err := exec.LookPath("nats")
	if err != nil {
		dir := t.TempDir()
		install := exec.CommandContext(t.Context(), "go", "install", natsCLI)
		install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
		if out, err := install.CombinedOutput(); err != nil {
			t.Skipf("no nats is installed, and it cannot be built (go install %s): %v: %s", natsCLI, err, out)
		}
		nats = filepath.Join(dir, "nats")
	}
	seed, consumer := newGrant(t, "cli")
	run := func(more ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), nats, append([]string{"--no-context", "--server", natsServers(), "--nkey", seed, "--inbox-prefix", "_EVENTS.cli"}, more...)...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("nats %s: %v: %s", strings.Join(more, " "), err, out)
		}
		return string(out)
	}
	first := run("consumer", "next", "KNELL", consumer, "--count", "3", "--no-ack", "--raw")
	again := run("consumer", "next", "KNELL", consumer, "--count", "3", "--ack", "--raw")
	then := run("consumer", "next", "KNELL", consumer, "--count", "2", "--ack", "--raw")
	if strings.Count(first, `"specversion":"1.0"`) != 3 || again != first || strings.Count(then, `"specversion":"1.0"`) != 2 || then == first {
		t.Errorf("first:\n%s\nagain:\n%s\nthen:\n%s", first, again, then)
	}
	if out := run("consumer", "info", "KNELL", consumer); !strings.Contains(out, consumer) {
		t.Error(out)
	}
	for _, refused := range [][]string{{"stream", "info", "KNELL"}, {"sub", "knell.>", "--count", "1", "--wait", "1s"}, {"pub", "knell.event.x", "y"}, {"stream", "rm", "-f", "KNELL"}} {
		cmd := exec.CommandContext(t.Context(), nats, append([]string{"--no-context", "--timeout", "2s", "--server", natsServers(), "--nkey", seed, "--inbox-prefix", "_EVENTS.cli"}, refused...)...)
		out, err := cmd.CombinedOutput()
		if err == nil && !strings.Contains(string(out), "Permissions Violation") {
			t.Errorf("nats %s: %s", strings.Join(refused, " "), out)
		}
	}
}
