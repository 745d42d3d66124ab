// Package redisd runs a redis-server of the system as a child process on loopback, in a directory of its own. It knows
// nothing of what is stored there.
package redisd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"

	"github.com/knell-auth/knell/cluster-test/process"
)

// ErrMissing says that this machine has no redis-server.
var ErrMissing = errors.New("no redis-server is installed (Debian: apt-get install redis-server)")

// Server is one redis-server. Its methods are for one goroutine.
type Server struct {
	Addr string

	path, dir string
	process   *process.Process // nil when it does not run
}

// startTimeout bounds a start. The server has nothing to load.
const startTimeout = 10 * time.Second

// New starts a server that keeps its data in dir.
func New(ctx context.Context, dir string) (*Server, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, ErrMissing
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: l.Addr().String(), path: path, dir: dir}
	l.Close()
	return s, s.Start(ctx)
}

// Start starts the server at its address, with the data of its directory. It must not run.
func (s *Server) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return err
	}
	s.process, err = process.Start(ctx, process.Command{
		Path: s.path, Dir: s.dir, Log: s.dir + "/redis.log",
		// Persistence as its manual recommends: an append-only file that is synced each second, and snapshots at the
		// default intervals. Everything else is the default.
		Args: []string{
			"--bind", "127.0.0.1", "--port", port, "--dir", s.dir, "--daemonize", "no",
			"--appendonly", "yes", "--appendfsync", "everysec",
		},
		Ready: func(line string) bool { return strings.Contains(line, "Ready to accept connections") },
	})
	if err != nil {
		return fmt.Errorf("redisd: %w", err)
	}
	return nil
}

// Kill ends the server as a crash does.
func (s *Server) Kill() {
	if s.process != nil {
		s.process.Kill()
		s.process = nil
	}
}

// PID returns the process id of the running server.
func (s *Server) PID() int { return s.process.PID() }

// Version returns the version of the installed redis-server, "" when there is none.
func Version(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "redis-server", "--version").Output()
	if err != nil {
		return ""
	}
	for _, word := range strings.Fields(string(out)) {
		if version, found := strings.CutPrefix(word, "v="); found {
			return version
		}
	}
	return ""
}
