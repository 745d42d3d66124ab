package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/knell-auth/knell/httpapi"
	"github.com/knell-auth/knell/internal/password"
	"github.com/knell-auth/knell/internal/replica"
	"github.com/knell-auth/knell/node"
)

const (
	issuer   = "https://id.example.com"
	audience = "api"

	startTimeout = 2 * time.Minute // of a replica with its sessions
	stopTimeout  = 10 * time.Second
	logMaxBytes  = 1 << 30
	makers       = 64 // log in at a time
)

// config is that of a replica alone, as knell serve makes it, but that the one that is not for the flood hashes with the least work: ten
// thousand log-ins are a preparation, and no row but that of the flood computes a hash.
func (s *service) config(l net.Listener, hashers *password.Processes) replica.Config {
	cfg := replica.Config{
		Name: "knell", Dir: filepath.Join(s.Dir, "data"), Listener: l, Copies: 1, LogMaxBytes: logMaxBytes,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Node:   node.Config{Issuer: issuer, Audience: audience, Basic: true, AccessTTL: time.Hour},
		HTTP:   httpapi.Config{PasswordGrant: true},
	}
	if s.Flood {
		cfg.Node.Password.Elsewhere = hashers
		cfg.HTTP.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	} else {
		cfg.Node.Password = password.Config{Queue: 2 * makers, MaxWait: time.Minute, Params: password.Params{MemoryKiB: 8, Time: 1, Lanes: 1}}
	}
	return cfg
}

// serveReplica runs a replica with accounts and sessions, and beside it a service behind the middleware.
func (s *service) serveReplica(l net.Listener, stdin io.Reader, stdout io.Writer) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	hashers := password.NewProcesses(self, []string{hashCommand}, func(err error) { fmt.Fprintln(os.Stderr, err) })
	defer hashers.Close()
	r := replica.Start(s.config(l, hashers))
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		err = errors.Join(err, r.Close(ctx))
	}()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	select {
	case <-r.Ready():
	case <-r.Failed():
		return r.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
	f, err := populate(ctx, r.Node(), s.Tokens)
	if err != nil {
		return err
	}
	own, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	f.Service = own.Addr().String()
	if err := f.write(filepath.Join(s.Dir, factsFile)); err != nil {
		return errors.Join(err, own.Close())
	}
	return serveUntil(own, behindMiddleware(r.Node()), stdin, func() { fmt.Fprintln(stdout, l.Addr()) })
}

// behindMiddleware is a service that does nothing, for who may.
func behindMiddleware(n *node.Node) http.Handler {
	r := chi.NewRouter()
	r.Use(httpapi.Authenticate(n))
	r.With(httpapi.RequireScope("notes")).Get("/verify", func(http.ResponseWriter, *http.Request) {})
	return r
}

// populate makes accounts and as many sessions of one user as there are tokens wanted.
func populate(ctx context.Context, n *node.Node, tokens int) (*facts, error) {
	f := &facts{Issuer: issuer, User: "alice", Password: rand.Text(), Client: "service", Secret: rand.Text(), Tokens: make([]string, tokens)}
	scope := []string{"profile", "notes"}
	err := n.SetRoleScopes(ctx, "member", scope, node.Origin{})
	if err != nil {
		return nil, err
	}
	u, err := n.CreateUser(ctx, node.NewUser{Name: f.User, Password: f.Password, Roles: []string{"member"}}, node.Origin{})
	if err != nil {
		return nil, err
	}
	if err := n.CreateClient(ctx, node.NewClient{ID: f.Client, Secret: f.Secret}, node.Origin{}); err != nil {
		return nil, err
	}
	if _, f.Key, err = n.CreateAPIKey(ctx, node.NewAPIKey{User: u.ID, Name: "perf", Scope: scope}, node.Origin{}); err != nil {
		return nil, err
	}
	if f.JWKS, err = n.JWKS(); err != nil {
		return nil, err
	}
	if err := logIn(ctx, n, f); err != nil {
		return nil, err
	}
	f.Token = f.Tokens[0]
	return f, nil
}

// logIn fills in the tokens, some at a time: the log commits in groups.
func logIn(ctx context.Context, n *node.Node, f *facts) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var work sync.WaitGroup
	for range makers {
		work.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(f.Tokens) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				t, err := n.Login(ctx, node.LoginRequest{Name: f.User, Password: f.Password})
				if err != nil {
					cancel(fmt.Errorf("log-in %d: %w", i, err))
				}
				f.Tokens[i] = t.AccessToken
			}
		})
	}
	work.Wait()
	return context.Cause(ctx)
}
