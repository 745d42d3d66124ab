package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/history"
)

// socketName is the name of the socket for local administration in a replica's data directory. It is in the file system, so
// a replica in a network namespace of its own is reached through it as well.
const socketName = "admin.sock"

// readLogs reads the log as each replica has it, up to the greatest sequence that all have applied, and keeps it in dir. What
// was acknowledged before Probe succeeded is in it: a logout there returned after all had applied it. Of a log that was trimmed, after is
// a sequence from which on all have it.
func readLogs(ctx context.Context, c *cluster.Cluster, dir string, after uint64) ([]*history.Log, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var upTo uint64
	for i, r := range c.Replicas {
		e, err := extentOf(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("replica %d: %w", i, err)
		}
		if i == 0 || e.Applied < upTo {
			upTo = e.Applied
		}
	}
	for i, r := range c.Replicas {
		if _, err := readLog(ctx, r, i, after, upTo, history.LogFile(dir, i)); err != nil {
			return nil, err
		}
	}
	return history.ReadLogs(dir)
}

// send sends a request to the local administration of a replica. The caller closes the answer's body.
func send(ctx context.Context, r *cluster.Replica, method, path string) (*http.Response, error) {
	return sendFor(ctx, r, method, path, "")
}

// sendFor is send for an answer of one media type.
func sendFor(ctx context.Context, r *cluster.Replica, method, path, accept string) (*http.Response, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(r.Data, socketName))
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://local"+path, nil)
	if err != nil {
		return nil, err
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	return client.Do(req)
}

// ask asks the local administration of a replica and hands over the answer.
func ask(ctx context.Context, r *cluster.Replica, path string, take func(io.Reader) error) error {
	resp, err := send(ctx, r, http.MethodGet, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // what there is of it
		return fmt.Errorf("GET %s: %s: %s", path, resp.Status, text)
	}
	return take(resp.Body)
}

// extent is which part of the log a replica knows.
type extent struct {
	Applied  uint64 `json:"applied"`
	First    uint64 `json:"log_first"`
	Snapshot uint64 `json:"snapshot"` // the newest that most replicas have made
}

func extentOf(ctx context.Context, r *cluster.Replica) (e extent, err error) {
	err = ask(ctx, r, "/status", func(body io.Reader) error { return json.NewDecoder(body).Decode(&e) })
	if err == nil && e.Applied == 0 {
		err = errors.New("it has applied nothing")
	}
	return e, err
}

// readLog reads the log of a replica and keeps its text.
func readLog(ctx context.Context, r *cluster.Replica, i int, after, upTo uint64, path string) (*history.Log, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	var l *history.Log
	err = ask(ctx, r, fmt.Sprintf("/log?after=%d&up_to=%d", after, upTo), func(body io.Reader) error {
		var err error
		l, err = history.ReadLog(io.TeeReader(body, f), int8(i))
		return err
	})
	return l, errors.Join(err, f.Close())
}
