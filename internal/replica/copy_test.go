package replica

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// lateCopy is a server whose copy of the log is whole when the test says so.
type lateCopy struct {
	natsServer
	asked chan uint64 // up to where it has to be
	whole chan struct{}
}

// AwaitCopy implements natsServer.
func (l *lateCopy) AwaitCopy(ctx context.Context, seq uint64) bool {
	select {
	case l.asked <- seq:
	default:
	}
	select {
	case <-l.whole:
		return l.natsServer.AwaitCopy(ctx, seq)
	case <-ctx.Done():
		return false
	}
}

// TestNotReadyBeforeTheCopy: a replica that holds a lease is not ready while its copy of the log lags: whoever restarts one replica after
// the other would stop the next one too early. Local administration waits for nothing.
func TestNotReadyBeforeTheCopy(t *testing.T) {
	late := &lateCopy{asked: make(chan uint64, 1), whole: make(chan struct{})}
	cfg := standalone(t, t.TempDir())
	cfg.server = func(s natsServer) natsServer {
		late.natsServer = s
		return late
	}
	r := Start(cfg)
	t.Cleanup(func() { stop(t, r) })
	select {
	case seq := <-late.asked:
		if seq == 0 {
			t.Error("it asked for no part of the log")
		}
	case <-r.Ready():
		t.Fatal("ready, and has not asked for its copy of the log")
	case <-r.Failed():
		t.Fatal(r.Err())
	case <-time.After(30 * time.Second):
		t.Fatal("it has not asked for its copy of the log in time")
	}
	base := "http://" + cfg.Listener.Addr().String()
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503, "/verify": 503} {
		if got := get(t, http.DefaultClient, base+path).StatusCode; got != want {
			t.Errorf("%s answers %d, want %d", path, got, want)
		}
	}
	select {
	case <-r.Ready():
		t.Error("it says that it is ready")
	default:
	}
	local, done := socketClient(filepath.Join(cfg.Dir, SocketName))
	defer done()
	if got := get(t, local, "http://local/users").StatusCode; got != 200 {
		t.Errorf("/users answers %d on the socket", got)
	}
	close(late.whole)
	select {
	case <-r.Ready():
	case <-r.Failed():
		t.Fatal(r.Err())
	}
	if got := get(t, http.DefaultClient, base+"/readyz").StatusCode; got != 200 {
		t.Errorf("/readyz answers %d", got)
	}
}
