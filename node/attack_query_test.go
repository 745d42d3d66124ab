package node

import (
	"slices"
	"testing"

	"github.com/knell-auth/knell/events"
)

// A query costs each event no more comparisons than there are types, however long it is, and means the same.
func TestTypesOfAQueryAreFew(t *testing.T) {
	var list []string
	for range 3 {
		for _, typ := range events.PublicTypes() {
			for end := range len(typ) {
				list = append(list, string(typ[:end+1]), "knell."+string(typ[:end+1]))
			}
		}
	}
	m, err := newMatcher(&EventQuery{Types: list})
	if err != nil || len(m.types) > len(events.PublicTypes()) {
		t.Errorf("%d types are compared, %v", len(m.types), err)
	}
	m, err = newMatcher(&EventQuery{Types: []string{"session.started", "revoked", "session", "knell.revoked.user", "revoked.session"}})
	if want := []string{"revoked", "session"}; err != nil || !slices.Equal(m.types, want) {
		t.Errorf("%q, %v, want %q", m.types, err, want)
	}
}
