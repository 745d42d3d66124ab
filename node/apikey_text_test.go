package node

import (
	"regexp"
	"strings"
	"testing"

	"github.com/knell-auth/knell/events"
)

func TestAPIKeyText(t *testing.T) {
	id := events.NewID()
	text, digest := newAPIKeyText(id)
	other, _ := newAPIKeyText(id)
	if got, d, ok := parseAPIKey(text); !ok || got != id || d != digest || text == other {
		t.Fatalf("%s does not come back", text)
	}
	if found := regexp.MustCompile(APIKeyPattern).FindString(`key="` + text + `",`); found != text {
		t.Errorf("the scanner finds %q", found)
	}
	if !strings.HasPrefix(text, "knl_"+id.String()) || len(text) != 90 {
		t.Error(text)
	}
	for i := range text { // each typing error is noticed, without a look into the state
		for _, c := range []byte{'a', '7', 'z', '0', 'A', ' ', 0} {
			wrong := []byte(text)
			if wrong[i] == c {
				continue
			}
			wrong[i] = c
			if _, _, ok := parseAPIKey(string(wrong)); ok {
				t.Fatalf("%q passes", wrong)
			}
		}
	}
	for _, s := range []string{"", "knl_", text[:89], text + "a", strings.ToUpper(text), " " + text} {
		if _, _, ok := parseAPIKey(s); ok {
			t.Errorf("%q passes", s)
		}
	}
}

func FuzzAPIKey(f *testing.F) {
	text, _ := newAPIKeyText(events.NewID())
	f.Add(text)
	f.Add("knl_")
	pattern := regexp.MustCompile(`^` + strings.Trim(APIKeyPattern, `\b`) + `$`)
	f.Fuzz(func(t *testing.T, s string) {
		if _, _, ok := parseAPIKey(s); ok && (!pattern.MatchString(s) || !IsAPIKey(s)) {
			t.Errorf("%q passes, and is none", s)
		}
	})
}
