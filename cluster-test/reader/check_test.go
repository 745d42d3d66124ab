package reader

import (
	"strings"
	"testing"
)

// notesOf returns notes with these sequences; one with a "!" has another id.
func notesOf(text string) (list []Note) {
	for _, word := range strings.Fields(text) {
		n := Note{ID: "e" + strings.TrimSuffix(word, "!")}
		if strings.HasSuffix(word, "!") {
			n.ID = "other"
		}
		for _, c := range strings.TrimSuffix(word, "!") {
			n.Seq = n.Seq*10 + uint64(c-'0')
		}
		list = append(list, n)
	}
	return list
}

// TestCheck: the check finds what it is there for, and nothing else.
func TestCheck(t *testing.T) {
	for _, c := range []struct{ notes, again, err string }{
		{"2 5 7 9", "0", ""},
		{"2 5 7 9 12 15", "0", ""},
		{"2 5 2 5 7 9", "2", ""},
		{"2 5 7 9 7 9 12", "2", ""},
		{"2 7 9", "", "comes where 5 is next"},
		{"2 5 9 7 9", "", "comes where 7 is next"},
		{"2 5 7", "", "never came"},
		{"2 5! 7 9", "", "in the log it is"},
		{"2 5 7 2! 9", "", "in the log it is"},
		{"2 3 5 7 9", "", "in the log it is"},
		{"2 5 7 12 9", "", "in the log it is"},
		{"", "", "never came"},
	} {
		again, err := Check(notesOf(c.notes), notesOf("2 5 7 9"))
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || err == nil && string(rune('0'+again)) != c.again {
			t.Errorf("%s: %d, %v", c.notes, again, err)
		}
	}
	if _, err := Check(nil, nil); err == nil {
		t.Error("nothing is as good as nothing")
	}
}
