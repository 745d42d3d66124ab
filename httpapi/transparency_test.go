package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/knell-auth/knell/node"
)

// TestTransparency: what is proven over HTTP is a plain text or a tile, for those with the scope audit, and what is asked for wrongly is
// an error that says so.
func TestTransparency(t *testing.T) {
	w := newWorld(t)
	auditor := "Authorization: Bearer " + w.vars["root"]
	for _, c := range []struct {
		path, media, begins string
	}{
		{"/transparency/key", mediaPlain, "knell/"},
		{"/transparency/checkpoint", mediaPlain, "knell/"},
		{"/transparency/checkpoint?size=2", mediaPlain, "knell/"},
		{"/transparency/consistency?old=1&size=3", mediaPlain, "old 1\n"},
		{"/transparency/consistency?old=0", mediaPlain, "old 0\n\nknell/"},
		{"/transparency/range?before=3", mediaJSON, `{"size":`},
		{"/transparency/tile/0/000.p/2", mediaBinary, ""},
		{"/transparency/tile/entries/000.p/1", mediaBinary, "\x00"},
		{"/events/1/proof", mediaPlain, "c2sp.org/tlog-proof@v1\nextra "},
	} {
		got := call(w.handler, "GET", c.path, "", auditor)
		if got.Code != http.StatusOK || got.Header().Get("Content-Type") != c.media || !strings.HasPrefix(got.Body.String(), c.begins) {
			t.Errorf("%s: %d %s %q", c.path, got.Code, got.Header().Get("Content-Type"), got.Body)
		}
		if got := call(w.handler, "HEAD", c.path, "", auditor); got.Code != http.StatusOK {
			t.Errorf("HEAD %s: %d", c.path, got.Code)
		}
	}
	for path, want := range map[string]int{
		"/transparency/checkpoint?size=9999999":        404,
		"/transparency/checkpoint?size=-1":             400,
		"/transparency/checkpoint?size=1&size=2":       400,
		"/transparency/checkpoint?sizes=1":             400,
		"/transparency/consistency":                    400,
		"/transparency/consistency?old=3&size=2":       400,
		"/transparency/consistency?old=1&size=9999999": 404,
		"/transparency/range?before=99999999":          400,
		"/transparency/tile/0/000.p/255":               404,
		"/transparency/tile/0/000.p/256":               400,
		"/transparency/tile/0/0":                       400,
		"/transparency/tile/7/000.p/1":                 404,
		"/transparency/tile/0/x001/000":                404,
		"/transparency/tile/0/x999/x999/999":           404,
		"/transparency/tile/entries/000":               404,
		"/transparency/tile/0":                         404,
		"/events/x/proof":                              400,
		"/events/0/proof":                              404,
		"/events/99999999/proof":                       400,
		"/events?sealed=true":                          400,
	} {
		if got := call(w.handler, "GET", path, "", auditor); got.Code != want {
			t.Errorf("%s: %d, want %d: %s", path, got.Code, want, got.Body)
		}
	}
	page := call(w.handler, "GET", "/events?sealed=true&limit=1000", "", auditor, "Accept: application/x-ndjson")
	if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), `","sealed":"`) {
		t.Errorf("a page with sealed leaves: %d %s", page.Code, page.Body)
	}
	if got := call(w.handler, "GET", "/events?sealed=true&user="+w.vars["alice-id"], "", auditor, "Accept: application/x-ndjson"); got.Code != 400 {
		t.Errorf("sealed leaves with a filter: %d", got.Code)
	}
}

// TestReceiptOverHTTP: who prefers a representation gets a receipt, and nobody else does.
func TestReceiptOverHTTP(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		prefer string
		want   int
	}{
		{"", 204}, {"return=minimal", 204}, {"return=representation", 200}, {`wait=5, return="representation"`, 200},
		{"return=minimal, return=representation", 204},
	} {
		headers := []string{"Authorization: Bearer " + w.login(t, "alice").AccessToken}
		if c.prefer != "" {
			headers = append(headers, "Prefer: "+c.prefer)
		}
		got := call(w.handler, "POST", "/logout", "", headers...)
		if got.Code != c.want {
			t.Errorf("%q: %d %s", c.prefer, got.Code, got.Body)
			continue
		}
		applied := strings.Join(got.Header().Values("Preference-Applied"), ", ")
		if strings.Contains(applied, "return=representation") != (c.want == 200) || strings.Contains(applied, "wait=5") != strings.Contains(c.prefer, "wait") {
			t.Errorf("%q: Preference-Applied: %s", c.prefer, applied)
		}
		if c.want == 204 {
			continue
		}
		var receipt node.Receipt
		if err := json.Unmarshal(got.Body.Bytes(), &receipt); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(receipt.Statement, "knell receipt v1\n") || !strings.HasPrefix(receipt.Proof, "c2sp.org/tlog-proof@v1\n") {
			t.Errorf("%+v", receipt)
		}
	}
}
