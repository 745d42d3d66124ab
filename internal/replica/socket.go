package replica

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/knell-auth/knell/httpapi"
)

// SocketName is the name of the Unix socket for local administration inside a data directory.
const SocketName = "admin.sock"

// maxSocketPath is the longest path of the socket that every supported system takes, in bytes: macOS has room for 104 with
// the final zero, Linux for 108, and the path at which the socket is made is a few bytes longer.
const maxSocketPath = 99

// socket serves local administration: who may open it is who owns the data directory.
type socket struct {
	path   string
	gate   gate
	server *http.Server
	done   chan struct{} // closed when the server has ended
}

// SocketPath returns the path of the socket in a data directory, or an error when it is too long for one.
func SocketPath(dir string) (string, error) {
	path := filepath.Join(dir, SocketName)
	if len(path) > maxSocketPath {
		return "", fmt.Errorf("%s has %d bytes, but the path of a socket has at most %d: choose a shorter data directory",
			path, len(path), maxSocketPath)
	}
	return path, nil
}

// listenLocal serves the socket of dir, which the caller has locked. Until its gate is opened it answers 503. Requests that
// still wait when ctx ends are given up.
func listenLocal(ctx context.Context, dir string, log *slog.Logger) (*socket, error) {
	path, err := SocketPath(dir)
	if err != nil {
		return nil, err
	}
	l, err := listenPrivate(dir, path)
	if err != nil {
		return nil, err
	}
	s := &socket{path: path, done: make(chan struct{})}
	s.server = httpapi.Server("", &s.gate)
	s.server.BaseContext = func(net.Listener) context.Context { return ctx }
	s.server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	go func() {
		defer close(s.done)
		if err := s.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("local administration ended", "error", err)
		}
	}()
	return s, nil
}

// listenPrivate listens at path with mode 0600. The socket is made in a directory that only this user can enter and then
// moved to its place, because there is no mode to give at its making, and the data directory may be open to others.
func listenPrivate(dir, path string) (net.Listener, error) {
	private, err := os.MkdirTemp(dir, ".")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(private)
	tmp := filepath.Join(private, "s")
	l, err := net.Listen("unix", tmp)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // it would unlink the old path
	err = os.Chmod(tmp, 0o600)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// closed waits for the end of the server, which has been shut down, and removes the socket.
func (s *socket) closed() error {
	<-s.done
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
