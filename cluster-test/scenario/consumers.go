package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/process"
	"github.com/knell-auth/knell/cluster-test/reader"
)

func consumers() []Scenario {
	return []Scenario{{
		Name: "consumer-kill",
		Proves: "a consumer of events gets all of them in their order, though it, replicas and the leader of the log are killed; what comes again " +
			"has the same sequence and id",
		Cluster: func(c *cluster.Config) { c.Readers = true },
		Check:   check.Options{Logout: logoutBound},
		run:     killConsumer,
	}}
}

// eventReader is a process of its own that reads events, with what it needs to begin again.
type eventReader struct {
	x       *experiment
	cfg     reader.Config
	binary  string
	process *process.Process
}

// newReader grants the events to a reader and starts it.
func (x *experiment) newReader(ctx context.Context) (*eventReader, error) {
	first := x.Cluster.Replicas[0]
	dir := filepath.Dir(first.Data)
	seed := filepath.Join(dir, "reader.nk")
	if err := first.Run(ctx, "events", "grant", "proof", "--data", first.Data, "--out", seed); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(seed)
	if err != nil {
		return nil, err
	}
	r := &eventReader{x: x, cfg: reader.Config{Seed: strings.TrimSpace(string(text)), File: filepath.Join(dir, "reader.ndjson")}}
	if r.binary, err = os.Executable(); err != nil {
		return nil, err
	}
	var servers []string
	for _, replica := range x.Cluster.Replicas {
		servers = append(servers, replica.NATS)
	}
	r.cfg.Servers = strings.Join(servers, ",")
	var list struct {
		Grants []struct {
			Stream, Consumer string
			Inbox            string `json:"inbox_prefix"`
		}
	}
	if err := ask(ctx, first, "/event-grants", func(body io.Reader) error { return json.NewDecoder(body).Decode(&list) }); err != nil {
		return nil, err
	}
	if len(list.Grants) != 1 {
		return nil, fmt.Errorf("%d grants", len(list.Grants))
	}
	g := list.Grants[0]
	r.cfg.Stream, r.cfg.Consumer, r.cfg.Inbox = g.Stream, g.Consumer, g.Inbox
	return r, r.start(ctx)
}

func (r *eventReader) start(ctx context.Context) error {
	settings, err := json.Marshal(r.cfg)
	if err != nil {
		return err
	}
	p, err := process.Start(ctx, process.Command{
		Path: r.binary, Args: []string{reader.Command}, Input: settings, Log: r.cfg.File + ".log",
		Ready: func(line string) bool { return line == reader.Ready },
	})
	if err == nil {
		r.process = p
	}
	return err
}

// killConsumer kills the reader, a follower and the leader in turn, and compares in the end what was read with what GET /events says.
func killConsumer(ctx context.Context, x *experiment) error {
	r, err := x.newReader(ctx)
	if err != nil {
		return err
	}
	defer func() { r.process.Kill() }()
	for range x.repeat(3, 15) {
		if err := x.wait(ctx, time.Duration(200+x.rng.IntN(800))*time.Millisecond); err != nil {
			return err
		}
		r.process.Kill()
		if err := r.start(ctx); err != nil {
			return err
		}
		for _, who := range []choice{x.follower, x.leader} {
			if err := x.kill(ctx, who, time.Second); err != nil {
				return err
			}
		}
	}
	events, err := publicEvents(ctx, x.Cluster.Replicas[0])
	if err != nil {
		return err
	}
	if err := r.await(ctx, events[len(events)-1].Seq); err != nil {
		return err
	}
	r.process.Kill()
	notes, err := reader.Notes(r.cfg.File)
	if err != nil {
		return err
	}
	again, err := reader.Check(notes, events)
	if err != nil {
		return fmt.Errorf("the reader of events: %w", err)
	}
	x.Logf("%d events were read, %d of them again", len(events), again)
	return nil
}

// await waits until the reader has got as far as seq.
func (r *eventReader) await(ctx context.Context, seq uint64) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		notes, err := reader.Notes(r.cfg.File)
		if err != nil {
			return err
		}
		if len(notes) > 0 && notes[len(notes)-1].Seq >= seq {
			return nil
		}
		if err := r.x.wait(ctx, 200*time.Millisecond); err != nil {
			text, _ := os.ReadFile(r.cfg.File + ".log")
			return fmt.Errorf("the reader has %d events and not the event %d: %w; its log ends with:\n%s", len(notes), seq, err, text[max(0, len(text)-1500):])
		}
	}
}

// publicEvents returns what GET /events of a replica says, page by page.
func publicEvents(ctx context.Context, r *cluster.Replica) (list []reader.Note, err error) {
	for after, more := "0", true; more; {
		resp, err := sendFor(ctx, r, http.MethodGet, "/events?limit=1000&after="+after, "application/x-ndjson")
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %.200s", resp.Status, text)
		}
		if err != nil {
			return nil, fmt.Errorf("GET /events: %w", err)
		}
		for line := range bytes.Lines(text) {
			var e struct{ ID, Sequence string }
			if err := json.Unmarshal(line, &e); err != nil {
				return nil, err
			}
			seq, err := strconv.ParseUint(e.Sequence, 10, 64)
			if err != nil {
				return nil, err
			}
			list = append(list, reader.Note{Seq: seq, ID: e.ID})
		}
		after, more = resp.Header.Get("X-Knell-Cursor"), resp.Header.Get("Link") != ""
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("GET /events: there are none")
	}
	return list, nil
}
