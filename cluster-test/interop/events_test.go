//go:build interop

package interop

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestCurl follows the events of a replica with curl, while users log out at another one. The stream ends when the token that it was
// opened with is revoked: curl is cut off before the logout has returned.
func TestCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl is installed (Debian: apt-get install curl)")
	}
	first, second := replicas.Replicas[0].URL, replicas.Replicas[1].URL
	token := func(base, user string) string {
		got, err := login(base, user)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	logout := func(token string) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", second+"/logout", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusNoContent {
			t.Fatalf("logout: %d", resp.StatusCode)
		}
	}
	auditor := token(first, "root")
	curl := exec.CommandContext(t.Context(), "curl", "-N", "-s", "-S", "-m", "60", "-H", "Authorization: Bearer "+auditor, first+"/events?type=revoked")
	out, err := curl.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	curl.Stderr = &said
	if err := curl.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	next := func(prefix string) string {
		for lines.Scan() {
			if text, ok := strings.CutPrefix(lines.Text(), prefix); ok {
				return text
			}
		}
		return ""
	}
	if next("retry: ") == "" {
		t.Fatalf("no stream: %s", &said)
	}
	for range 3 {
		began := time.Now()
		logout(token(second, "alice"))
		var e struct{ Type, Username, Sequence string }
		if err := json.Unmarshal([]byte(next("data: ")), &e); err != nil || e.Type != "knell.revoked.session" || e.Username != "alice" {
			t.Fatalf("%v: %+v", err, e)
		}
		t.Logf("%s after %v, the log-in included", e.Sequence, time.Since(began))
	}
	logout(auditor)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data: ") && !strings.Contains(lines.Text(), `"actorname":"root"`) {
			t.Errorf("after the logout: %s", lines.Text())
		}
	}
	if err := curl.Wait(); err == nil {
		t.Error("curl takes the stream for whole, which was cut off")
	}
	t.Logf("curl says: %s", &said)
}
