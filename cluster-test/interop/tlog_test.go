//go:build interop

package interop

import (
	"context"
	"net/http"
	"net/url"
	"os/exec"
	"testing"
	"time"
)

// TestTlog: a verifier in Python, written against the specifications of transparency logs and docs/verifiable.md, computes the tree
// of three replicas' log from its export, its tiles and its bundles, and checks heads, proofs and a receipt.
func TestTlog(t *testing.T) {
	python := ""
	for _, p := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(p, "-c", "import cryptography").Run() == nil {
			python = p
			break
		}
	}
	if python == "" {
		t.Skip("no cryptography for python3 (Debian: apt-get install python3-cryptography)")
	}
	for range 300 { // so that a tile gets full
		resp, err := http.PostForm(replicas.Replicas[0].URL+"/token", url.Values{
			"grant_type": {"client_credentials"}, "client_id": {clientID}, "client_secret": {clientSecret}, "scope": {"jobs"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusOK {
			t.Fatalf("a token for the client: %d", resp.StatusCode)
		}
	}
	auditor, err := login(replicas.Replicas[1].URL, "root")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "tlog_verify.py")
	cmd.Dir, cmd.Env = "testdata/python", append(environment(t.TempDir()), "AUDIT_TOKEN="+auditor)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
