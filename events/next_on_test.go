//go:build knell_next

package events_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/knell-auth/knell/events"
)

// Events of the next version say their level, and whether they may be passed over; other events are as they were.
func TestNextOnTheWire(t *testing.T) {
	for _, tt := range []struct {
		data  events.Payload
		want  string
		level uint32
	}{
		{&events.Next{Text: "x"}, `"level":3,"epoch"`, 3},
		{&events.NextHint{Text: "x"}, `"level":3,"optional":true,"epoch"`, 1},
		{&events.AllRevoked{}, `"level":1,"epoch"`, 1},
	} {
		e := example(tt.data)
		raw := encode(t, e)
		if !bytes.Contains(raw, []byte(tt.want)) || events.LevelOf(tt.data) != tt.level {
			t.Errorf("%s at level %d, want %s at level %d", raw, events.LevelOf(tt.data), tt.want, tt.level)
		}
		var back events.Event
		if err := events.Decode(raw, &back); err != nil || !reflect.DeepEqual(&back, e) {
			t.Errorf("read back %+v, %v", back, err)
		}
	}
}
