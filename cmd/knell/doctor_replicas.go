package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/knell-auth/knell/internal/doctor"
	"github.com/knell-auth/knell/node"
)

// asker asks replicas over HTTP.
type asker struct{ client http.Client }

// newAsker returns one that trusts the authorities in pem, the system's when it is nil; nil when there is none in it.
func newAsker(pem []byte) *asker {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if pem != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil
		}
	}
	return &asker{http.Client{
		Transport:     &http.Transport{TLSClientConfig: config, DisableKeepAlives: true},
		Timeout:       statusTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// ask returns what the replica at target says of itself; nil if it says nothing, which is noted, as is how its clock differs.
func (a *asker) ask(ctx context.Context, r *doctor.Report, target string) *replicaStatus {
	const check = "replica"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(target, "/")+"/status", nil)
	if err != nil {
		r.Bad(check, "", "%v", err)
		return nil
	}
	began := time.Now()
	resp, err := a.client.Do(req)
	took := time.Since(began)
	if err != nil {
		r.Bad(check, "start it, or look at what is between", "%s: %v", target, reasonOf(err))
		return nil
	}
	defer resp.Body.Close()
	if resp.TLS != nil {
		r.Shown(target, resp.TLS)
	}
	middle := began.Add(took / 2)
	var s replicaStatus
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && resp.StatusCode == http.StatusOK {
		err = json.Unmarshal(body, &s)
	}
	switch {
	case err != nil || resp.StatusCode == http.StatusOK && s.Node == "":
		r.Bad(check, "give the URL of a replica", "%s does not look like a replica of Knell", target)
		return nil
	case resp.StatusCode != http.StatusOK:
		if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil { // whole seconds
			r.Apart(target, date.Sub(middle), time.Second+took/2)
		}
		r.Warn(check, "wait, and look at what it logs", "%s: %v", target, refusal(resp, body))
		return nil
	}
	r.Apart(s.Node, s.Time.Sub(middle), took/2)
	return &s
}

// reasonOf returns what went wrong with a request, without the URL that the caller names.
func reasonOf(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// Bounds of what is worth a line.
const (
	// farAhead is by how much log time may differ from a replica's clock.
	farAhead = time.Minute
	// staleSnapshot is after how many messages a new snapshot is overdue: they are made every 250,000.
	staleSnapshot = 600_000
)

// examine judges what a replica says of itself.
func examine(r *doctor.Report, s *replicaStatus) {
	examineLease(r, s)
	examineLog(r, s)
	switch ahead := s.LogTime.Sub(s.Time); {
	case s.LogTime.Unix() == 0:
	case ahead > farAhead:
		r.Bad("log time", "find the replica whose clock is or was wrong and correct it; log time stands still until the true time has caught up",
			"%v ahead of the clock of %s: tokens end early", ahead.Round(time.Second), s.Node)
	case ahead < -farAhead:
		r.Warn("log time", "look at the leases of all replicas, and at the clock of "+s.Node, "%v behind the clock of %s: no beat for so long, or its clock is ahead",
			-ahead.Round(time.Second), s.Node)
	default:
		r.OK("log time", "within %v of the clock of %s", ahead.Abs().Round(time.Millisecond), s.Node)
	}
}

// examineLease judges whether a replica answers, and for how long it could.
func examineLease(r *doctor.Report, s *replicaStatus) {
	const check = "lease"
	left, length := time.Duration(s.LeaseMS)*time.Millisecond, time.Duration(s.LeaseLength)*time.Millisecond
	switch {
	case s.Fenced != "":
		r.Bad(check, "start it again, and look in docs/operations.md if it ends again", "%s has fenced itself: %s", s.Node, s.Fenced)
	case left <= 0:
		r.Bad(check, "look whether it reaches the others, whether they are a majority, and at its clock", "%s holds none and answers 503", s.Node)
	case !s.Ready:
		r.Bad(check, "wait, and look at what it logs", "%s is not ready: its keys are not known to all replicas yet", s.Node)
	case left < length/2:
		r.Warn(check, "look at the disks and the network between replicas: beats take long", "%s: %v of %v left", s.Node, left, length)
	default:
		r.OK(check, "%s: %v of %v left", s.Node, left, length)
	}
}

// examineLog judges how the log stands at a replica.
func examineLog(r *doctor.Report, s *replicaStatus) {
	const check = "log"
	if v := s.Servers; v != nil {
		switch missing := v.Others - v.Connected; {
		case 2*(v.Connected+1) <= v.Others+1:
			r.Bad(check, "start the others", "%s is connected to %d of %d other servers of the log: no majority", s.Node, v.Connected, v.Others)
		case missing > 0:
			r.Warn(check, "start them; until then do not stop another one", "%s misses %d of %d other servers of the log", s.Node, missing, v.Others)
		default:
			r.OK(check, "%s is connected to all %d other servers of the log", s.Node, v.Others)
		}
	}
	if s.LogCopy == "behind" {
		r.Warn(check, "wait; do not stop another replica before it is whole", "the copy of %s is behind", s.Node)
	}
	switch {
	case s.LogSheds == "everything":
		r.Bad(check, "start the replicas with a greater --log-max-bytes, one after the other", "it is full: all replicas refuse")
	case s.LogSheds != "":
		r.Warn(check, "start the replicas with a greater --log-max-bytes, one after the other, or with a shorter --retain", "no room for %s: %d of %d bytes are used",
			s.LogSheds, s.LogBytes, s.LogMaxBytes)
	case s.LogMaxBytes > 0:
		r.OK(check, "%d of %d bytes are used", s.LogBytes, s.LogMaxBytes)
	}
	if s.Sync == syncNotAttested {
		r.Warn(check, "set jetstream { sync_interval: always } on the NATS servers and say so with --nats-sync-attested",
			"nobody has said that %s's NATS servers sync before they acknowledge", s.Node)
	}
	since := s.Applied - max(s.Snapshot, s.LogFirst-1)
	age := fmt.Sprintf("the newest that most replicas have made is %d messages old", since)
	if s.Snapshot == 0 {
		age = fmt.Sprintf("there is none that most replicas have made; the log has %d messages", since)
	}
	if since > staleSnapshot {
		r.Warn("snapshot", "look for what replicas log about snapshots, and at their rights to KNELL_SNAPSHOTS on NATS servers elsewhere", "%s", age)
	} else {
		r.OK("snapshot", "%s", age)
	}
}

// theFlags stands among the names of replicas for what one would announce that is started with the flags. No replica has this name.
const theFlags = "the flags"

// compare judges what replicas say of themselves beside each other: those that were asked, those that they know of, and the one that
// is planned, nil: none.
func compare(r *doctor.Report, asked []replicaStatus, planned *node.Announced) {
	said := map[string]node.Announced{}
	for _, s := range asked {
		for _, p := range s.Peers {
			if p.HorizonMS > 0 && p.Level > 0 {
				said[p.Node] = p.Announced
			}
		}
	}
	for _, s := range asked {
		said[s.Node] = s.Announced
	}
	if planned != nil {
		said[theFlags] = *planned
	}
	if len(said) < 2 {
		return
	}
	for _, what := range []struct {
		check, do string
		bad       bool
		of        func(node.Announced) string
	}{
		{"versions", "go on with the upgrade: what is new waits for the last one", false, func(a node.Announced) string { return cmp.Or(a.Version, "unknown") }},
		{"issuer", "give all replicas one issuer and one audience", true, func(a node.Announced) string { return a.Issuer + " for " + a.Audience }},
		{"lease length", "give all replicas one --lease", false, func(a node.Announced) string {
			return (time.Duration(a.LeaseLength) * time.Millisecond).String()
		}},
	} {
		by := map[string][]string{}
		for _, name := range slices.Sorted(maps.Keys(said)) {
			if name == theFlags && what.check == "versions" {
				continue // that of doctor's binary is a line of its own
			}
			v := what.of(said[name])
			by[v] = append(by[v], name)
		}
		var parts []string
		for _, v := range slices.Sorted(maps.Keys(by)) {
			parts = append(parts, v+" ("+strings.Join(by[v], ", ")+")")
		}
		text := strings.Join(parts, ", ")
		switch {
		case len(by) == 1:
			r.OK(what.check, "%s", text)
		case what.bad:
			r.Bad(what.check, what.do, "they differ: %s", text)
		default:
			r.Warn(what.check, what.do, "they differ: %s", text)
		}
	}
}
