package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/knell-auth/knell/httpapi"
	"github.com/knell-auth/knell/internal/password"
)

// serveCommand is the first argument that makes this program a service.
const serveCommand = "perf-serve"

// hashCommand is the first argument that makes this program hash passwords for a service.
const hashCommand = "perf-hash"

// child is what this program does when one of its own kind has started it, with the exit code; false: none has.
func child(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int, ok bool) {
	switch {
	case len(args) > 1 && args[1] == serveCommand:
		return serveMain(stdin, stdout, stderr), true
	case len(args) > 1 && args[1] == hashCommand:
		if password.Serve(stdin, stdout) != nil {
			return exitFailed, true
		}
		return exitOK, true
	}
	return 0, false
}

// service says which one to be. It comes as a JSON object on standard input, since it has secrets in it.
type service struct {
	Kind   string // "knell", or the name of a handler in peers
	Redis  string
	Issuer string // of the tokens that peers check
	JWKS   []byte // their keys
	Secret []byte // HS256
	Opaque string // the token that is in Redis

	Dir    string // data directory of a replica, which says there what its load needs to know (facts)
	Tokens int
	Flood  bool // passwords cost what they should, and addresses are what proxies say
}

// serveMain runs one service until standard input ends, so that it cannot outlive who started it. When it serves, its address is
// written to stdout as one line.
func serveMain(stdin io.Reader, stdout, stderr io.Writer) int {
	var s service
	if err := json.NewDecoder(stdin).Decode(&s); err != nil {
		fmt.Fprintf(stderr, "%s: the settings on standard input: %v\n", serveCommand, err)
		return exitUsage
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		err = s.serve(l, stdin, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", serveCommand, err)
		return exitFailed
	}
	return exitOK
}

func (s *service) serve(l net.Listener, stdin io.Reader, stdout io.Writer) error {
	if s.Kind == "knell" {
		return s.serveReplica(l, stdin, stdout)
	}
	h, err := s.handler(context.Background())
	if err != nil {
		return errors.Join(err, l.Close())
	}
	return serveUntil(l, h, stdin, func() { fmt.Fprintln(stdout, l.Addr()) })
}

// serveUntil serves h until stdin ends. The server is that of a replica, with its limits on slow clients.
func serveUntil(l net.Listener, h http.Handler, stdin io.Reader, ready func()) error {
	server := httpapi.Server("", h)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	ready()
	_, _ = io.Copy(io.Discard, stdin) // whatever ends it
	err := server.Close()
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

// facts are what the load needs to know of a replica.
type facts struct {
	Service  string // address of a service in the same process, behind the middleware
	Issuer   string
	JWKS     []byte
	Token    string   // of one session
	Tokens   []string // of as many sessions
	Key      string   // API key
	User     string
	Password string
	Client   string
	Secret   string
}

const factsFile = "facts.json"

func (f *facts) write(path string) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

func readFacts(path string) (*facts, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var f facts
	return &f, json.Unmarshal(text, &f)
}
