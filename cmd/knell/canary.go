package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/knell-auth/knell/cluster-test/load"
	"github.com/knell-auth/knell/httpapi"
	"github.com/knell-auth/knell/internal/canary"
)

// canaryCmd holds the settings of a canary.
type canaryCmd struct {
	Targets          []string      `name:"target" env:"KNELL_CANARY_TARGETS" required:"" placeholder:"URL" help:"URLs of all replicas, each by itself, separated by commas."`
	Interval         time.Duration `env:"KNELL_CANARY_INTERVAL" default:"5s" help:"From the start of a round to that of the next."`
	Timeout          time.Duration `env:"KNELL_CANARY_TIMEOUT" default:"20s" help:"When a request without an answer is given up."`
	MetricsListen    address       `env:"KNELL_CANARY_METRICS_LISTEN" default:"127.0.0.1:9464" help:"Where metrics are served: a loopback or private address."`
	ClientID         string        `name:"client-id" env:"KNELL_CANARY_CLIENT_ID" placeholder:"ID" help:"OAuth client that logs in for itself, or through which the user does."`
	ClientSecretFile string        `env:"KNELL_CANARY_CLIENT_SECRET_FILE" placeholder:"FILE" help:"File whose first line is its secret. Default: the environment variable KNELL_CANARY_CLIENT_SECRET."`
	User             string        `env:"KNELL_CANARY_USER" placeholder:"NAME" help:"User that logs in, where replicas have --password-grant. Default: the client for itself."`
	PasswordFile     string        `env:"KNELL_CANARY_PASSWORD_FILE" placeholder:"FILE" help:"File whose first line is the password. Default: the environment variable KNELL_CANARY_PASSWORD."`
	Scope            string        `env:"KNELL_CANARY_SCOPE" help:"Scope to ask for."`
	Once             bool          `help:"One round, without metrics; exit with 1 when something is not as it must be."`
	Output           outputFlags   `embed:""`
}

// config checks the settings and reads the files that they name.
func (c *canaryCmd) config() (canary.Config, error) {
	checks := []error{
		unless(c.ClientID != "" || c.User != "", "--client-id or --user: who is to log in?"),
		unless(c.Interval >= 100*time.Millisecond && c.Interval <= time.Hour, "--interval %v: want 100ms to 1h", c.Interval),
		unless(c.Timeout >= 100*time.Millisecond && c.Timeout <= 5*time.Minute, "--timeout %v: want 100ms to 5m", c.Timeout),
	}
	for i, target := range c.Targets {
		if err := load.CheckURL(target); err != nil {
			checks = append(checks, fmt.Errorf("--target %w", err))
		}
		checks = append(checks, unless(!slices.Contains(c.Targets[:i], target), "--target %s is named twice", target))
	}
	if err := firstError(checks...); err != nil {
		return canary.Config{}, err
	}
	cfg := canary.Config{Targets: c.Targets, Interval: c.Interval, Timeout: c.Timeout, Scope: c.Scope}
	cfg.Client.Name, cfg.User.Name = c.ClientID, c.User
	var err error
	if c.User != "" {
		if cfg.User.Secret, err = secret("password-file", c.PasswordFile, "KNELL_CANARY_PASSWORD"); err != nil {
			return cfg, err
		}
	}
	if c.ClientID != "" {
		if cfg.Client.Secret, err = secret("client-secret-file", c.ClientSecretFile, "KNELL_CANARY_CLIENT_SECRET"); err != nil {
			return cfg, err
		}
	}
	missing := c.User != "" && cfg.User.Secret == "" || c.User == "" && cfg.Client.Secret == ""
	return cfg, firstError(unless(!missing, "the password or the secret is missing: --password-file or --client-secret-file"))
}

// Run watches until a signal comes.
func (c *canaryCmd) Run(ctx context.Context, t *terminal) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	cfg.Logger = c.Output.logger(t)
	bird, err := canary.New(cfg)
	if err != nil {
		return usageError{err}
	}
	ctx, release := untilSignal(ctx, nil, os.Interrupt, syscall.SIGTERM)
	defer release()
	if c.Once {
		if err := bird.Round(ctx); err != nil {
			return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
		}
		fmt.Fprintf(t.out, "logged in, verified at %d replicas, logged out: none accepts the token any more\n", len(cfg.Targets))
		return nil
	}
	l, err := listenPrivate("metrics-listen", c.MetricsListen)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", bird.Handler())
	server := httpapi.Server("", mux)
	var serving sync.WaitGroup
	var failed error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	serving.Go(func() {
		defer cancel()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed = err
		}
	})
	cfg.Logger.Info("watching", "targets", len(cfg.Targets), "metrics", "http://"+l.Addr().String()+"/metrics")
	bird.Run(ctx)
	server.Close()
	serving.Wait()
	return failed
}
