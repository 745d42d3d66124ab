package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/knell-auth/knell/httpapi"
	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/node"
)

type statusCmd struct {
	Data string        `env:"KNELL_DATA" default:"knell-data" type:"path" placeholder:"DIR" help:"Data directory of the replica. Default: ./knell-data."`
	Wait time.Duration `default:"30s" help:"How long to wait for a replica that is starting; 0: not at all."`
	URL  string        `name:"url" env:"KNELL_URL" placeholder:"URL" help:"Ask the replica at this address instead, such as http://127.0.0.1:8080."`
	JSON bool          `name:"json" help:"Print JSON."`
}

// statusTimeout bounds the question.
const statusTimeout = 10 * time.Second

// replicaStatus is what /status answers. The counts come from the local socket only.
type replicaStatus struct {
	node.Announced
	node.Standing
	Node        string `json:"node"`
	Incarnation string `json:"incarnation"`
	Epoch       string `json:"epoch"`
	Applied     uint64 `json:"applied"`
	Digest      string `json:"digest"`
	Ready       bool   `json:"ready"`
	LeaseMS     int64  `json:"lease_ms"`
	Sync        string `json:"sync"`
	LogCopy     string `json:"log_copy"`
	Fenced      string `json:"fenced"`
	statusCounts
	statusLog
	Pending     int    `json:"pending_barriers"`
	CertExpires string `json:"cert_expires"` // from the local socket only

	Servers *httpapi.LogServers `json:"log_servers"`
	Peers   []peerStatus        `json:"peers"`
}

// statusLog says how much of the log there is.
type statusLog struct {
	LogBytes    int64  `json:"log_bytes"`
	LogMaxBytes int64  `json:"log_max_bytes"`
	LogSheds    string `json:"log_sheds"`
}

// statusCounts says how much there is of everything.
type statusCounts struct {
	Users    *int `json:"users"` // nil: who asked may not know
	Sessions int  `json:"sessions"`
	Revoked  int  `json:"revoked"`
}

// peerStatus is another replica in it.
type peerStatus struct {
	node.Announced
	Node      string `json:"node"`
	Applied   uint64 `json:"applied"`
	HorizonMS int64  `json:"horizon_ms"`
}

// Run prints the status. It fails when the replica does not serve, so that it can stand in a health check.
func (c *statusCmd) Run(ctx context.Context, t *terminal) error {
	if c.Wait < 0 || c.Wait > time.Hour {
		return usagef("--wait %v: want 0 to 1h", c.Wait)
	}
	var raw json.RawMessage
	if err := patiently(ctx, t, c.Wait, func() error { return c.ask(ctx, &raw) }); err != nil {
		return err
	}
	var s replicaStatus
	if err := json.Unmarshal(raw, &s); err != nil || s.Node == "" {
		return errors.New("this does not look like a replica of Knell")
	}
	var err error
	if c.JSON {
		_, err = fmt.Fprintf(t.out, "%s\n", strings.TrimSpace(string(raw)))
	} else {
		err = s.print(t)
	}
	if err == nil && !s.Ready {
		err = fmt.Errorf("replica %s does not serve", s.Node)
	}
	return err
}

// ask makes one attempt to get the status. The error is a startingError while the replica starts.
func (c *statusCmd) ask(ctx context.Context, raw *json.RawMessage) error {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	a, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer a.close()
	return a.probe(ctx, "/status", raw)
}

// open returns whom to ask.
func (c *statusCmd) open(ctx context.Context) (*admin, error) {
	if c.URL == "" {
		a, err := online(ctx, c.Data)
		switch {
		case !errors.Is(err, errNotRunning):
			return a, err
		case natsd.InUse(c.Data):
			return nil, &startingError{fmt.Errorf("the replica on %s does not listen yet", c.Data)}
		}
		return nil, fmt.Errorf("--data %s: %w", c.Data, err)
	}
	if !strings.HasPrefix(c.URL, "http://") && !strings.HasPrefix(c.URL, "https://") {
		return nil, usagef("--url %q: want http://host:port or https://host:port", c.URL)
	}
	return &admin{base: strings.TrimRight(c.URL, "/"), close: func() error { return nil }}, nil
}

// print writes the status for people.
func (s *replicaStatus) print(t *terminal) error {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	ready := "no"
	if s.Ready {
		ready = fmt.Sprintf("yes, lease for another %s", round(time.Duration(s.LeaseMS)*time.Millisecond))
	}
	fmt.Fprintf(w, "replica\t%s\nready\t%s\nversion\t%s\n", s.Node, ready, s.Version)
	if s.LogLevel != s.Level {
		fmt.Fprintf(w, "level\t%d of the log, this version knows %d\n", s.LogLevel, s.Level)
	}
	if s.Fenced != "" {
		fmt.Fprintf(w, "fenced\t%s\n", s.Fenced)
	}
	if s.Sync != "" && s.Sync != syncAlways {
		fmt.Fprintf(w, "sync\t%s\n", s.Sync)
	}
	if s.LogCopy == "behind" {
		fmt.Fprint(w, "copy\tbehind the leader's: do not stop another replica yet\n")
	}
	fmt.Fprintf(w, "applied\t%d\ndigest\t%s\nepoch\t%s\nincarnation\t%s\n", s.Applied, s.Digest, s.Epoch, s.Incarnation)
	if s.Users != nil {
		fmt.Fprintf(w, "users\t%d\nsessions\t%d\nrevoked\t%d\npending\t%d\n", *s.Users, s.Sessions, s.Revoked, s.Pending)
	}
	if s.LogMaxBytes > 0 { // else it has not been asked for yet
		fmt.Fprintf(w, "log\t%d of %d bytes, from %d on\n", s.LogBytes, s.LogMaxBytes, s.LogFirst)
	}
	if s.Snapshot > 0 {
		fmt.Fprintf(w, "snapshot\tat %d\n", s.Snapshot)
	}
	if end, err := time.Parse(time.RFC3339, s.CertExpires); err == nil {
		fmt.Fprintf(w, "certificate\t%s\n", validity(end, time.Now()))
	}
	if s.LogSheds != "" {
		fmt.Fprintf(w, "no room\tfor %s\n", s.LogSheds)
	}
	for i, p := range s.Peers {
		if i == 0 {
			fmt.Fprintf(w, "\nPEER\tVERSION\tAPPLIED\tMAY ANSWER FOR\n")
		}
		horizon := round(time.Duration(p.HorizonMS) * time.Millisecond)
		if p.HorizonMS == 0 {
			horizon = "no lease"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", p.Node, cmp.Or(p.Version, "unknown"), p.Applied, horizon)
	}
	return w.Flush()
}

// validity says how long the certificate is good that a replica shows to the others.
func validity(end, now time.Time) string {
	const day = 24 * time.Hour
	switch left := end.Sub(now); {
	case left <= 0:
		return fmt.Sprintf("expired on %s: the others refuse new connections; renew it (knell cluster renew)", end.Format(time.DateOnly))
	case left < 30*day:
		return fmt.Sprintf("until %s, %d days: renew it (knell cluster renew)", end.Format(time.DateOnly), left/day)
	}
	return "until " + end.Format(time.DateOnly)
}
