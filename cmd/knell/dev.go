package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/knell-auth/knell/httpapi"
	"github.com/knell-auth/knell/internal/balance"
	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/internal/password"
	"github.com/knell-auth/knell/internal/replica"
	"github.com/knell-auth/knell/node"
)

// devCmd holds the settings of a demonstration. They are not read from the environment: what is set there for a real
// replica must not reach this one.
type devCmd struct {
	Listen        address   `default:"${listen}" help:"Where the load balancer listens."`
	ReplicaListen []address `default:"127.0.0.1:8081,127.0.0.1:8082,127.0.0.1:8083" help:"Where the three replicas listen."`
	NatsListen    address   `default:"127.0.0.1:4222" help:"Where those who read audit events connect with NATS clients, at the first replica."`
	Data          string    `type:"path" placeholder:"DIR" help:"Keep the data here. Default: a temporary directory, removed at the end."`
	NoStory       bool      `xor:"story" help:"Leave the guided story out."`
	StoryOnly     bool      `xor:"story" help:"Stop after the guided story."`
	Quiet         bool      `short:"q" help:"Print one line when ready; the story runs all the same unless --no-story is given."`
	Verbose       bool      `short:"v" help:"Print the replicas' log lines."`
}

// devReplicas is the number of replicas of a demonstration.
const devReplicas = 3

// Bounds of a demonstration's phases.
const (
	devStartTimeout = 60 * time.Second
	devStopTimeout  = 5 * time.Second
)

// silent is above every level. While the replicas look for each other at the start, and lose each other at the end, their
// servers complain about it.
const silent = slog.LevelError + 1

// devLogMaxBytes is the room for the log of a demonstration, in bytes.
const devLogMaxBytes = 1 << 30

// Run runs the demonstration until a signal comes, a replica fails or the story does not hold.
func (c *devCmd) Run(ctx context.Context, t *terminal) error {
	// A closed pipe is an error of its write, not the end of the process, which would leave the directory behind.
	signal.Ignore(syscall.SIGPIPE)
	var temp tempDir
	ctx, release := untilSignal(ctx, func(s os.Signal) {
		temp.remove()
		os.Exit(128 + int(s.(syscall.Signal)))
	}, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer release()
	defer temp.remove()
	return c.run(ctx, t, &temp)
}

// run is Run until ctx ends.
func (c *devCmd) run(ctx context.Context, t *terminal, temp *tempDir) error {
	started := time.Now()
	l, err := c.listeners()
	if err != nil {
		return err
	}
	dir, err := c.directory(temp)
	if err != nil {
		l.close()
		return err
	}
	d, err := c.start(l, dir, t)
	if err != nil {
		l.close()
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &output{w: t.out, broken: cancel}
	err = c.show(ctx, d, t, out, started)
	if !c.Quiet {
		fmt.Fprintln(out, "stopping ...")
	}
	return errors.Join(err, d.stop(), out.error())
}

// tempDir is a directory that is removed at the end, however that comes about. The zero tempDir is none.
type tempDir struct {
	mu   sync.Mutex
	path string
}

// make makes it.
func (d *tempDir) make() (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	path, err := os.MkdirTemp("", "knell-dev-")
	d.path = path
	return path, err
}

// remove removes it. Replicas that still run may make files meanwhile, so that it is tried again.
func (d *tempDir) remove() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for try := 0; d.path != "" && try < 5 && os.RemoveAll(d.path) != nil; try++ {
	}
}

// listeners are the open TCP listeners of a demonstration.
type listeners struct {
	front    net.Listener
	replicas []net.Listener
	readers  net.Listener // of events, at the first replica
}

// close closes all of them.
func (l *listeners) close() {
	for _, r := range append(l.replicas, l.front, l.readers) {
		if r != nil {
			r.Close()
		}
	}
}

// listeners opens all listeners, so that a port in use is known before anything else happens.
func (c *devCmd) listeners() (*listeners, error) {
	if len(c.ReplicaListen) != devReplicas {
		return nil, usagef("--replica-listen: want %d addresses, not %d", devReplicas, len(c.ReplicaListen))
	}
	for _, a := range append([]address{c.Listen, c.NatsListen}, c.ReplicaListen...) {
		if !a.loopback() {
			return nil, usagef("%s is not on loopback: everybody knows the passwords of knell dev", a)
		}
	}
	l := &listeners{}
	var err error
	if l.front, err = listen("listen", c.Listen); err != nil {
		return nil, err
	}
	for _, a := range c.ReplicaListen {
		r, err := listen("replica-listen", a)
		if err != nil {
			l.close()
			return nil, err
		}
		l.replicas = append(l.replicas, r)
	}
	if l.readers, err = listen("nats-listen", c.NatsListen); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// directory returns the directory for the data: temp, unless another one was chosen.
func (c *devCmd) directory(temp *tempDir) (string, error) {
	if c.Data == "" {
		dir, err := temp.make()
		if err != nil {
			return "", fmt.Errorf("temporary directory: %w; choose one with --data", err)
		}
		return dir, nil
	}
	if err := usable(c.Data, devLogMaxBytes); err != nil {
		return "", err
	}
	marker := filepath.Join(c.Data, devMarker)
	entries, err := os.ReadDir(c.Data)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(marker); err != nil && len(entries) > 0 {
		return "", usagef("--data %s is not empty and was not made by knell dev, which would add accounts with public passwords", c.Data)
	}
	if err := os.WriteFile(marker, []byte("Demonstration data: the passwords of its accounts are public.\n"), 0o600); err != nil {
		return "", err
	}
	return c.Data, nil
}

// demo is a running demonstration.
type demo struct {
	front    string   // URL of the load balancer
	direct   []string // URLs of the replicas
	dir      string
	replicas []*replica.Replica
	hashers  *password.Processes
	balancer *balance.Balancer
	server   *http.Server
	serving  sync.WaitGroup
	level    *slog.LevelVar
}

// start starts three replicas and the load balancer. It waits for none of them.
func (c *devCmd) start(l *listeners, dir string, t *terminal) (*demo, error) {
	routes, err := natsd.LoopbackRoutes(devReplicas)
	if err != nil {
		return nil, err
	}
	broken, err := mutation()
	if err != nil {
		return nil, err
	}
	d := &demo{front: "http://" + l.front.Addr().String(), dir: dir, level: &slog.LevelVar{}}
	d.level.Set(silent)
	if c.Verbose {
		d.level.Set(slog.LevelInfo)
	}
	log := slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: d.level}))
	for _, r := range l.replicas {
		d.direct = append(d.direct, "http://"+r.Addr().String())
	}
	if d.balancer, err = balance.New(balance.Config{Replicas: d.direct, Logger: log.With("part", "balancer")}); err != nil {
		return nil, err
	}
	secret := rand.Text()
	if d.hashers, err = hashers(log); err != nil {
		return nil, err
	}
	hasher := password.New(password.Config{Elsewhere: d.hashers, Params: hashParams}) // one for all: they share this machine's cores
	for i, r := range l.replicas {
		name := fmt.Sprintf("replica-%d", i+1)
		cfg := replica.Config{
			Name: name, Dir: filepath.Join(dir, name), Listener: r,
			Copies: devReplicas, LogMaxBytes: devLogMaxBytes, Logger: log.With("replica", i+1),
			NATS: natsd.Config{Cluster: &natsd.Cluster{
				Name: "knell-dev", Listen: routes[i], Routes: routes, Secret: secret,
			}},
			Node: node.Config{Issuer: d.front, Audience: "knell", Build: node.Build{Version: version(), Break: broken}, Basic: true,
				Password: password.Config{Shared: hasher}},
			HTTP: httpapi.Config{
				TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}, PasswordGrant: true,
			},
		}
		if i == 0 {
			cfg.Readers = l.readers
		}
		d.replicas = append(d.replicas, replica.Start(cfg))
	}
	d.server = httpapi.Server("", d.balancer)
	d.server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	d.serving.Go(func() { d.server.Serve(l.front) }) // ends with Shutdown; nothing else closes its listener
	return d, nil
}

// ready waits until all replicas serve, the demo accounts are there and the load balancer knows it.
func (d *demo) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, devStartTimeout, errors.New("the replicas did not become ready in time"))
	defer cancel()
	for _, r := range d.replicas {
		select {
		case <-r.Ready():
		case <-r.Failed():
			return r.Err()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := createDemoAccounts(ctx, d.replicas[0].Node()); err != nil {
		return err
	}
	if err := d.balancer.Wait(ctx, devReplicas); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// wait returns when ctx ends, or with the error of the first replica that fails.
func (d *demo) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-d.replicas[0].Failed():
	case <-d.replicas[1].Failed():
	case <-d.replicas[2].Failed():
	}
	for _, r := range d.replicas {
		if err := r.Err(); err != nil {
			return err
		}
	}
	return nil
}

// stop stops everything. The replicas leave together, while the log still has its majority, and stop together.
func (d *demo) stop() error {
	if d.level.Level() > slog.LevelInfo {
		d.level.Set(silent)
	}
	ctx, cancel := context.WithTimeout(context.Background(), devStopTimeout)
	defer cancel()
	errs := make([]error, 2*devReplicas+1)
	if errs[0] = d.server.Shutdown(ctx); errs[0] != nil {
		d.server.Close()
	}
	d.serving.Wait()
	d.balancer.Close()
	var phase sync.WaitGroup
	for i, r := range d.replicas {
		phase.Go(func() { errs[1+i] = r.Leave(ctx) })
	}
	phase.Wait()
	for i, r := range d.replicas {
		phase.Go(func() { errs[1+devReplicas+i] = r.Close(ctx) })
	}
	phase.Wait()
	d.hashers.Close()
	return errors.Join(errs...)
}
