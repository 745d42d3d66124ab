package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/internal/password"
	"github.com/knell-auth/knell/internal/replica"
	"github.com/knell-auth/knell/node"
)

// dataFlags say on whose data a command works.
type dataFlags struct {
	Data string        `env:"KNELL_DATA" default:"knell-data" type:"path" placeholder:"DIR" help:"Data directory of the replica. Default: ./knell-data."`
	Wait time.Duration `default:"30s" help:"How long to wait for a replica that is starting; 0: not at all."`

	// For a standalone replica that does not run; the same as for serve.
	Name        string `env:"KNELL_NAME" placeholder:"NAME" help:"Name of the replica, if none is running and it is standalone. Default: that of the directory."`
	LogMaxBytes size   `env:"KNELL_LOG_MAX_BYTES" default:"${logMaxBytes}" help:"Limit of its log, if none is running and it is standalone."`
}

// absence says what a command does when nobody runs on the data directory.
type absence int

const (
	openIt     absence = iota // opens the store itself, if it is a standalone one
	awaitServe                // waits: somebody may be starting a replica on it
	makeIt                    // makes a standalone store, unless there is one
)

// lookEvery is the time between two looks at a replica that is starting.
const lookEvery = 100 * time.Millisecond

// startingError says what a command waits for. It may be over at the next look.
type startingError struct{ why error }

// Error implements error.
func (e *startingError) Error() string { return e.why.Error() }

// Unwrap returns the cause.
func (e *startingError) Unwrap() error { return e.why }

// with runs a command on the replica that runs on the data directory, or else opens the store itself for it. It waits for a
// replica that is starting.
func (f *dataFlags) with(ctx context.Context, t *terminal, absent absence, command func(*admin) error) error {
	if f.Wait < 0 || f.Wait > time.Hour {
		return usagef("--wait %v: want 0 to 1h", f.Wait)
	}
	var a *admin
	err := patiently(ctx, t, f.Wait, func() (err error) {
		a, err = f.connect(ctx, absent)
		return err
	})
	if err != nil {
		return err
	}
	err = command(a)
	if e := a.close(); err == nil {
		err = e
	}
	return err
}

// patiently tries again for as long as the error is a startingError and wait is not over. It says what it waits for.
func patiently(ctx context.Context, t *terminal, wait time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	said := ""
	for {
		err := try()
		var starting *startingError
		if !errors.As(err, &starting) || wait == 0 {
			return err
		}
		if text := starting.Error(); text != said {
			fmt.Fprintf(t.err, "knell: waiting, for at most %v: %s ...\n", wait, text)
			said = text
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gave up after %v: %w", wait, err)
		case <-time.After(lookEvery):
		}
	}
}

// connect makes one attempt to get at the administration of the data directory.
func (f *dataFlags) connect(ctx context.Context, absent absence) (*admin, error) {
	a, err := online(ctx, f.Data)
	if err == nil {
		// A replica answers nothing about users before it may.
		if err = a.probe(ctx, "/users?name=-", nil); err == nil {
			return a, nil
		}
		a.close()
		return nil, err
	}
	if !errors.Is(err, errNotRunning) {
		return nil, err
	}
	if err := refuseDevData(f.Data); err != nil {
		return nil, err
	}
	if natsd.InUse(f.Data) {
		return nil, &startingError{fmt.Errorf("the replica on %s does not listen yet", f.Data)}
	}
	owner, err := natsd.ReadOwner(f.Data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.first(ctx, absent)
	case err != nil:
		return nil, usagef("--data %s: %w", f.Data, err)
	case owner.Closed:
		return nil, usagef("--data %s: %s", f.Data, owner.Start)
	case !owner.Standalone && absent == awaitServe:
		return nil, &startingError{fmt.Errorf("no replica is running on %s; start it (%s)", f.Data, owner.Start)}
	case !owner.Standalone:
		return nil, usagef("no replica is running on %s, and it can't be opened alone: %s", f.Data, owner.Start)
	case f.Name != "" && f.Name != owner.Server:
		return nil, usagef("--name %s (or KNELL_NAME): the store in %s is that of %s; leave the name out, or give --name %s",
			f.Name, f.Data, owner.Server, owner.Server)
	}
	return f.offline(ctx, owner.Server)
}

// first is connect for a directory on which no replica has run.
func (f *dataFlags) first(ctx context.Context, absent absence) (*admin, error) {
	switch absent {
	case awaitServe:
		return nil, &startingError{usagef("no replica has run on %s; start it with knell serve --data %s, or give --standalone to make the store of a replica that is alone",
			f.Data, f.Data)}
	case makeIt:
		name := f.Name
		if name == "" {
			name = standaloneName
		}
		if !namePattern.MatchString(name) {
			return nil, usagef("--name %q: want %s", name, nameRule)
		}
		return f.offline(ctx, name)
	}
	return nil, usagef("--data %s: no replica has run here; name the data directory of one (--data or KNELL_DATA)", f.Data)
}

// probe asks the replica something that it answers only when it has started. The error is a startingError while it can't.
func (a *admin) probe(ctx context.Context, path string, out any) error {
	err := a.call(ctx, http.MethodGet, path, nil, out)
	var unavailable *unavailableError
	if errors.As(err, &unavailable) {
		return &startingError{errors.New(unavailable.detail)}
	}
	return err
}

// offlineTimeout bounds the start of a standalone replica for one command: it replays the log.
const offlineTimeout = 2 * time.Minute

// offline opens the store of a standalone replica that does not run, by running it without its HTTP listener until the
// command is done.
func (f *dataFlags) offline(ctx context.Context, name string) (*admin, error) {
	if err := usable(f.Data, f.LogMaxBytes); err != nil {
		return nil, err
	}
	r := replica.Start(replica.Config{
		Name: name, Dir: f.Data, Copies: 1, LogMaxBytes: int64(f.LogMaxBytes),
		// Nobody else holds a lease on a standalone store, so there is nothing to wait for with a long one.
		Node: node.Config{
			Issuer: "local", Audience: "local", Lease: minLeaseAlone, Build: node.Build{Version: version()},
			Password: password.Config{Params: hashParams},
			Limits:   node.Limits{Webhooks: node.Webhooks{Off: true}}, // it does not know where they may go
		},
	})
	stop := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		return r.Close(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, offlineTimeout)
	defer cancel()
	var err error
	select {
	case <-r.Ready():
		a, socketErr := online(ctx, f.Data)
		if socketErr == nil {
			a.close = stop
			return a, nil
		}
		err = socketErr
	case <-r.Failed():
		if err = explain(r.Err()); errors.Is(err, natsd.ErrInUse) { // a replica was faster
			err = &startingError{err}
		}
	case <-ctx.Done():
		err = fmt.Errorf("opening %s: %w", f.Data, ctx.Err())
	}
	return nil, errors.Join(err, stop())
}

// peek asks the replica on the data directory something before a person is asked for a password. It says nothing about a
// replica that does not run or cannot answer yet: the command itself finds that out.
func (f *dataFlags) peek(ctx context.Context, look func(*admin) error) error {
	a, err := online(ctx, f.Data)
	if err != nil {
		return nil
	}
	defer a.close()
	if a.probe(ctx, "/users?name=-", nil) != nil {
		return nil
	}
	return look(a)
}
