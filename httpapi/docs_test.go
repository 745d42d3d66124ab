package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestDocumentedCalls carries out each curl command of docs/oauth.md in order. $TOKEN and $REFRESH are what /token gave last.
func TestDocumentedCalls(t *testing.T) {
	text, err := os.ReadFile("../docs/oauth.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	vars := map[string]string{}
	calls := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "curl ") {
			continue
		}
		calls++
		line, _, _ = strings.Cut(os.Expand(line, func(name string) string { return vars[name] }), " #")
		var path string
		var form []string
		headers := []string{formType}
		for words := strings.Fields(line)[1:]; len(words) > 0; words = words[1:] {
			switch word := words[0]; word {
			case "-s", "-i":
			case "-d":
				form, words = append(form, words[1]), words[1:]
			case "-u":
				headers = append(headers, "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(words[1])))
				words = words[1:]
			default:
				path = strings.TrimPrefix(word, "http://127.0.0.1:8080")
			}
		}
		answer := call(w.handler, "POST", path, strings.Join(form, "&"), headers...)
		if answer.Code != 200 {
			t.Errorf("%s\n%d %s", line, answer.Code, answer.Body)
		}
		if path != "/token" {
			continue
		}
		var tokens struct{ Access_token, Refresh_token string }
		if err := json.Unmarshal(answer.Body.Bytes(), &tokens); err != nil {
			t.Fatal(err)
		}
		if vars["TOKEN"] = tokens.Access_token; tokens.Refresh_token != "" {
			vars["REFRESH"] = tokens.Refresh_token
		}
	}
	if calls < 6 {
		t.Errorf("%d calls", calls)
	}
}
