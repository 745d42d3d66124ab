package scenario

import "testing"

func TestListIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range All() {
		if s.Name == "" || s.Proves == "" || s.run == nil || seen[s.Name] {
			t.Errorf("incomplete or double: %+v", s)
		}
		seen[s.Name] = true
	}
	if found, unknown := Find([]string{"cut-off", "steady"}); unknown != "" || len(found) != 2 || found[1].Name != "steady" {
		t.Errorf("found %v, unknown %q", found, unknown)
	}
	if _, unknown := Find([]string{"steady", "x"}); unknown != "x" {
		t.Errorf("unknown is %q, want x", unknown)
	}
}
