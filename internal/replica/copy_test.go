package replica

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lateCopy is a server whose copy of the log is whole when the test says so.
type lateCopy struct {
	natsServer
	asked chan uint64 // up to where it has to be
	whole chan struct{}
}

// heard passes log lines on, as long as there is room.
type heard chan string

func (h heard) Write(p []byte) (int, error) {
	select {
	case h <- string(p):
	default:
	}
	return len(p), nil
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

// TestNotReadyBeforeTheCopy: a replica that holds a lease is not ready while its copy of the log lags, however long that takes: whoever
// restarts one replica after the other would stop the next one too early. It says so at /readyz, in its log and in its metrics. All else
// is answered.
func TestNotReadyBeforeTheCopy(t *testing.T) {
	late := &lateCopy{asked: make(chan uint64, 1), whole: make(chan struct{})}
	cfg := standalone(t, t.TempDir())
	told := make(chan string, 100)
	cfg.Logger = slog.New(slog.NewTextHandler(heard(told), nil))
	var err error
	if cfg.Private, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
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
	base, private := "http://"+cfg.Listener.Addr().String(), "http://"+cfg.Private.Addr().String()
	for said := ""; !strings.Contains(said, "copy of the log is behind"); {
		select {
		case said = <-told:
		case <-time.After(30 * time.Second):
			t.Fatal("nobody is told")
		}
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503, "/verify": 401, "/status": 200} {
		if got := get(t, http.DefaultClient, base+path).StatusCode; got != want {
			t.Errorf("%s answers %d, want %d", path, got, want)
		}
	}
	if _, body := read(t, base+"/readyz"); !strings.Contains(body, "copy of the log is not whole yet") {
		t.Errorf("/readyz: %s", body)
	}
	if _, body := read(t, private+"/metrics"); !strings.Contains(body, "\nknell_log_copy_current 0\n") || !strings.Contains(body, "\nknell_ready 1\n") {
		t.Errorf("metrics: %s", body)
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
	if _, body := read(t, private+"/metrics"); !strings.Contains(body, "\nknell_log_copy_current 1\n") {
		t.Errorf("metrics: %s", body)
	}
}
