package natsd

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// The limit of the log can be raised, by the server alone and never lowered; nothing else of the stream changes.
func TestGrowLog(t *testing.T) {
	s := startTest(t, Config{Dir: t.TempDir(), Name: "n1"})
	ctx := testContext(t)
	nc := connectTest(t, s)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	cfg := jetstream.StreamConfig{
		Name: StreamName, Subjects: []string{"knell.event.>"}, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		DenyDelete: true, MaxBytes: 1 << 20,
	}
	if _, err := js.CreateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ to, want int64 }{{2 << 20, 2 << 20}, {1 << 20, 2 << 20}, {3 << 20, 3 << 20}} {
		if err := s.GrowLog(ctx, step.to); err != nil {
			t.Fatal(err)
		}
		stream, err := js.Stream(ctx, StreamName)
		if err != nil {
			t.Fatal(err)
		}
		have := stream.CachedInfo().Config
		if have.MaxBytes != step.want || !have.DenyDelete || have.Discard != jetstream.DiscardNew {
			t.Errorf("after %d: %+v", step.to, have)
		}
	}
}

// TestGrowLogWithoutLeader: a question that nobody answers ends all the same, or a replica would wait with its start for ever.
func TestGrowLogWithoutLeader(t *testing.T) {
	c := startCluster(t, nil)
	leader := c.awaitWhole(t)
	c.servers[(leader+1)%3].Kill()
	c.servers[leader].Kill()
	if err := c.servers[(leader+2)%3].GrowLog(t.Context(), 1<<40); err == nil {
		t.Error("the limit was raised by one server of three")
	}
}
