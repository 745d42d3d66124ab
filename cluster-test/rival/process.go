package rival

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/knell-auth/knell/httpapi"
)

// Command is the first argument that makes a program with Main in it a replica.
const Command = "rival-serve"

// startTimeout bounds the connection to the store and the first load.
const startTimeout = 10 * time.Second

// Main runs one replica until stdin ends, so it cannot outlive who started it. The Config is one JSON object on stdin, since
// it has secrets in it. When the replica serves, its URL is written to stdout as one line. It returns the exit code.
func Main(stdin io.Reader, stdout, stderr io.Writer) int {
	var cfg Config
	d := json.NewDecoder(stdin)
	d.DisallowUnknownFields()
	if err := d.Decode(&cfg); err != nil {
		fmt.Fprintf(stderr, "%s: the settings on standard input: %v\n", Command, err)
		return 2
	}
	if err := serve(cfg, stdin, stdout); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", Command, err)
		return 1
	}
	return 0
}

func serve(cfg Config, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	s, err := New(ctx, cfg)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	server := httpapi.Server("", s.Handler()) // with the limits of Knell's own
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	fmt.Fprintf(stdout, "http://%s\n", l.Addr())
	_, _ = io.Copy(io.Discard, stdin) // whatever ends it
	err = server.Close()
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return errors.Join(err, s.Close())
}
