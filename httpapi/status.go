package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/knell-auth/knell/node"
)

// livez serves GET /livez: the process answers.
func (a *api) livez(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") }

// readyz serves GET /readyz: 200 while this replica may answer, 503 otherwise.
func (a *api) readyz(w http.ResponseWriter, r *http.Request) {
	if !a.n.Ready() {
		fail(w, r, a.n, node.ErrNotCurrent)
		return
	}
	writeText(w, http.StatusOK, "ready\n")
}

// requireReady lets no request through while this replica may not answer: where nobody is authenticated, nothing else would
// keep a replica that is behind from saying that a user does not exist.
func (a *api) requireReady(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.n.Ready() {
			fail(w, r, a.n, node.ErrNotCurrent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}

// statusPeer is another replica in a status document.
type statusPeer struct {
	node.Peer
	HorizonMS int64 `json:"horizon_ms"` // how long it may still hold a lease
}

// publicStatusDocument is what everybody may know of a replica.
type publicStatusDocument struct {
	Node        string       `json:"node"`
	Incarnation string       `json:"incarnation"`
	Epoch       string       `json:"epoch"`
	Applied     uint64       `json:"applied"`
	Digest      string       `json:"digest"`
	Ready       bool         `json:"ready"`
	LeaseMS     int64        `json:"lease_ms"`
	Sync        string       `json:"sync"`
	LogCopy     string       `json:"log_copy,omitempty"`
	Peers       []statusPeer `json:"peers"`
	node.Announced
	node.Standing

	Record node.Recording `json:"record"` // what its events tell of where requests come from
}

// publicStatus serves GET /status: how this replica stands in the log. How many users and sessions there are is for
// administrators only.
func (a *api) publicStatus(w http.ResponseWriter, _ *http.Request) {
	s := a.n.Status()
	writeJSON(w, http.StatusOK, publicStatusDocument{
		s.Node, s.Incarnation, s.Epoch, s.Applied, s.Digest, s.Ready, s.Lease.Milliseconds(), a.sync, a.logCopy(), peersOf(s),
		s.Announced, s.Standing, s.Record,
	})
}

// LogServers are the other servers that a replica keeps the log with.
type LogServers struct {
	Connected int `json:"connected"` // to so many of them
	Others    int `json:"others"`
}

// fullStatusDocument is all of it.
type fullStatusDocument struct {
	node.Status
	LeaseMS int64        `json:"lease_ms"`
	Sync    string       `json:"sync"`
	LogCopy string       `json:"log_copy,omitempty"`
	Servers *LogServers  `json:"log_servers,omitempty"` // nil: this replica keeps no copy of the log beside others
	Peers   []statusPeer `json:"peers"`                 // instead of the embedded one

	CertExpires string `json:"cert_expires,omitempty"` // RFC 3339, of what this replica shows to the others
}

// fullStatus serves GET /admin, and GET /status on the local socket: all that the replica says about itself.
func (a *api) fullStatus(w http.ResponseWriter, _ *http.Request) {
	s := a.n.Status()
	d := fullStatusDocument{Status: s, LeaseMS: s.Lease.Milliseconds(), Sync: a.sync, LogCopy: a.logCopy(), Peers: peersOf(s)}
	if end := a.expires(); !end.IsZero() {
		d.CertExpires = end.UTC().Format(time.RFC3339)
	}
	if servers := a.logServers(); servers.Others > 0 {
		d.Servers = &servers
	}
	writeJSON(w, http.StatusOK, d)
}

func peersOf(s node.Status) []statusPeer {
	peers := make([]statusPeer, 0, len(s.Peers))
	for _, p := range s.Peers {
		peers = append(peers, statusPeer{p, p.Horizon.Milliseconds()})
	}
	return peers
}
