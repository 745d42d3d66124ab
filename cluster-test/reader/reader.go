// Package reader is a consumer of audit events as others would write it, over NATS with the client library of its maintainers: it writes
// down what it gets and acknowledges it then. It runs in a process of its own, so that it can be killed, and its notes are judged
// afterwards. It knows nothing of Knell but the names that a grant gives.
package reader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
)

// Command is the first argument that makes a program with Main in it a reader.
const Command = "read-events"

// Ready is the line that a reader writes when it reads.
const Ready = "reading"

// Config says what to read, and where to write it down.
type Config struct {
	Servers  string // URLs, separated by commas
	Seed     string // of the reader's NKey
	Inbox    string // prefix of its reply subjects
	Stream   string
	Consumer string
	File     string // notes are appended to it
}

// Note is what a reader writes down of an event.
type Note struct {
	Seq uint64 `json:"seq"`
	ID  string `json:"id"`
}

// Main reads until stdin ends, so that it cannot outlive who started it. The Config is one JSON object on stdin. It returns the exit
// code.
func Main(stdin io.Reader, stdout, stderr io.Writer) int {
	var cfg Config
	if err := json.NewDecoder(stdin).Decode(&cfg); err != nil {
		fmt.Fprintf(stderr, "%s: the settings on standard input: %v\n", Command, err)
		return 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()
	if err := read(ctx, cfg, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", Command, err)
		return 1
	}
	return 0
}

func read(ctx context.Context, cfg Config, stdout, stderr io.Writer) error {
	key, err := nkeys.FromSeed([]byte(cfg.Seed))
	if err != nil {
		return err
	}
	public, err := key.PublicKey()
	if err != nil {
		return err
	}
	notes, err := os.OpenFile(cfg.File, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer notes.Close()
	nc, err := nats.Connect(cfg.Servers, nats.Nkey(public, key.Sign), nats.CustomInboxPrefix(cfg.Inbox), nats.MaxReconnects(-1),
		nats.ReconnectWait(50*time.Millisecond), nats.RetryOnFailedConnect(true), nats.PingInterval(time.Second),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { fmt.Fprintln(stderr, err) }))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, Ready)
	for ctx.Err() == nil {
		if err := some(ctx, js, cfg, notes); err != nil {
			fmt.Fprintln(stderr, err)
			pause(ctx)
		}
	}
	return nil
}

// pause lets some time pass after a failure.
func pause(ctx context.Context) {
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
	}
}

// some reads some events: it writes them down, and acknowledges the last one, which stands for all before it.
func some(ctx context.Context, js jetstream.JetStream, cfg Config, notes io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := js.Consumer(ctx, cfg.Stream, cfg.Consumer)
	if err != nil {
		return err
	}
	for {
		batch, err := c.Fetch(100, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return err
		}
		var last jetstream.Msg
		for m := range batch.Messages() {
			if err := write(notes, m); err != nil {
				return err
			}
			last = m
		}
		if last != nil {
			err = last.Ack()
		}
		if err := errors.Join(err, batch.Error()); err != nil {
			return err
		}
	}
}

func write(notes io.Writer, m jetstream.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	n := Note{Seq: meta.Sequence.Stream}
	if err := json.Unmarshal(m.Data(), &n); err != nil {
		return err
	}
	line, err := json.Marshal(n)
	if err != nil {
		return err
	}
	_, err = notes.Write(append(line, '\n'))
	return err
}
