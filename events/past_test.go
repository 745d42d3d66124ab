package events

import (
	"errors"
	"testing"
	"time"
)

// TestLeads: only a server that knows who leads may say that the log was rewound or trimmed.
func TestLeads(t *testing.T) {
	created := time.Unix(1_800_000_000, 0)
	l := &Log{cfg: Config{Node: "a"}, created: created}
	const after = 100
	for _, tt := range []struct {
		name string
		st   Stat
		want error
	}{
		{"goes on", Stat{First: 1, Last: 120, Replicas: 3, Leader: "b"}, nil},
		{"nothing new", Stat{First: 1, Last: 100, Replicas: 3, Leader: "b"}, nil},
		{"ends early", Stat{First: 1, Last: 99, Replicas: 3, Leader: "b"}, errShort},
		{"ends early and nobody leads", Stat{First: 1, Last: 99, Replicas: 3}, errIncomplete},
		{"ends early, the only copy", Stat{First: 1, Last: 99, Replicas: 1}, errShort},
		{"goes on though nobody leads", Stat{First: 1, Last: 120, Replicas: 3}, nil},
		{"trimmed at another leader", Stat{First: 102, Last: 120, Replicas: 3, Leader: "b"}, errNoFront},
		{"trimmed here", Stat{First: 102, Last: 120, Replicas: 3, Leader: "a"}, ErrTrimmed},
		{"created anew", Stat{First: 1, Last: 120, Replicas: 3, Leader: "b", Created: created.Add(1)}, ErrRewound},
	} {
		if tt.st.Created.IsZero() {
			tt.st.Created = created
		}
		if got := l.leads(tt.st, after); !errors.Is(got, tt.want) || tt.want == nil && got != nil {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
