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
	if found, unknown := Find(anywhere, false); unknown != "" || len(found) != len(anywhere) {
		t.Errorf("of %v only %d are there; unknown is %q", anywhere, len(found), unknown)
	}
	if found, unknown := Find([]string{"cut-off", "steady"}, true); unknown != "" || len(found) != 2 || found[1].Name != "steady" {
		t.Errorf("found %v, unknown %q", found, unknown)
	}
	if _, unknown := Find([]string{"steady", "x"}, true); unknown != "x" {
		t.Errorf("unknown is %q, want x", unknown)
	}
	if found, _ := Find([]string{"power-one"}, true); len(found) != 1 {
		t.Error("a scenario of the long form cannot be asked for in the short form")
	}
	short, _ := Find(nil, true)
	long, _ := Find(nil, false)
	if len(long) != len(All()) || len(short) >= len(long) {
		t.Errorf("%d scenarios in the short form, %d in the long form, %d in all", len(short), len(long), len(All()))
	}
}
