package replica

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/internal/tap"
	"github.com/knell-auth/knell/node"
)

// tapped is an embedded server, as those who read events reach it.
type tapped interface {
	Tap(noResponders bool) (net.Conn, error)
	Rewind(ctx context.Context, consumer string) error
	API() string
}

// openTap lets those who read events in until ctx ends, if there is a listener for them. Then they go on at another replica.
func (r *Replica) openTap(ctx context.Context) error {
	if r.cfg.Readers == nil {
		return nil
	}
	server, ok := r.server.(tapped)
	if !ok {
		return errors.New("readers of events reach servers elsewhere without this replica")
	}
	cfg := tap.Config{
		Stream: events.StreamName, Inbox: events.ReaderInbox, API: server.API(), Version: natsd.ServerVersion,
		Admit: r.admit, Dial: server.Tap, Rewind: server.Rewind, Logger: r.log,
	}
	if r.cfg.ReadersTLS != nil {
		p := &pair{files: *r.cfg.ReadersTLS}
		if err := p.load(); err != nil {
			return fmt.Errorf("TLS for readers of events: %w", err)
		}
		r.noteCertificate("nats", p.expires)
		r.work.Go(func() { r.watchPair(ctx, p, nil) })
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: p.certificate}
	}
	door := tap.New(cfg)
	r.work.Go(func() {
		defer door.Close() // which waits for the connections
		defer context.AfterFunc(ctx, door.Close)()
		if err := door.Serve(r.cfg.Readers); err != nil {
			r.fail(fmt.Errorf("serving readers of events: %w", err))
		}
	})
	return nil
}

// admit asks the node about a key.
func (r *Replica) admit(ctx context.Context, key string) (tap.Pass, error) {
	g, w, err := r.node.Admit(ctx, key)
	switch {
	case errors.Is(err, node.ErrInvalidKey):
		return tap.Pass{}, fmt.Errorf("%w: %w", tap.ErrRefused, err)
	case err != nil:
		return tap.Pass{}, err
	}
	return tap.Pass{Grant: g.Name, Consumer: g.Consumer, Context: w.Context(), Check: w.Check, Stop: w.Stop}, nil
}
