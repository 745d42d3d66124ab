package events_test

import (
	"errors"
	"testing"

	"github.com/knell-auth/knell/events"
)

// What the head of a snapshot says of its size is not believed beyond the parts that are there: nobody makes room for it.
func TestHeadOfASnapshotIsNotBelieved(t *testing.T) {
	j := openOne(t, events.Config{})
	l, nc, ctx := j.logs["a"], j.conns["a"], t.Context()
	if err := l.PutSnapshot(ctx, events.Snapshot{Seq: 7, Epoch: events.NewID(), Hash: []byte("h")}, make([]byte, 300<<10)); err != nil {
		t.Fatal(err)
	}
	list, err := l.Snapshots(ctx)
	if err != nil || len(list) != 1 || list[0].Size != 300<<10 {
		t.Fatalf("%+v, %v", list, err)
	}
	epoch := list[0].Epoch.String()
	for _, size := range []string{"9223372036854775807", "4611686018427387904", "1000000000000", "524289", "-1", "1e3"} {
		if _, err := nc.Request("knell.snapshot.7.a.head", []byte(`{"epoch":"`+epoch+`","size":`+size+`,"hash":"aA=="}`), 1e9); err != nil {
			t.Fatal(err)
		}
		list, err := l.Snapshots(ctx)
		if err != nil || len(list) != 1 || list[0].Size != 0 {
			t.Fatalf("size %s: %+v, %v", size, list, err)
		}
		if _, err := l.GetSnapshot(ctx, list[0]); !errors.Is(err, events.ErrSnapshot) {
			t.Errorf("size %s: %v", size, err)
		}
	}
}
