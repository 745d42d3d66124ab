// Package history records what clients of a cluster saw, with start and end of each operation on one monotonic clock,
// and what was done to the cluster meanwhile.
//
// It owns the record and its file format. It does not know how operations are carried out (package traffic), how faults
// are made (package fault) or what a correct history is (package check).
package history

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Kind is what a client asked for.
type Kind uint8

// The kinds of operations.
const (
	Login Kind = iota + 1
	Verify
	Refresh
	Logout
)

// Outcome is what the client knows afterwards. The zero value claims nothing.
type Outcome uint8

const (
	// Unknown: no answer, or one that says that the outcome is unknown. The operation may have been carried out, may
	// still be, or never.
	Unknown Outcome = iota
	// OK: acknowledged (a verification: accepted).
	OK
	// Refused: the replica decided against it: 401, 403, invalid_grant.
	Refused
	// Unavailable: not carried out, and no decision: no connection, or a verification that was answered 503.
	Unavailable
	// Unexpected: an answer that the interface does not have. Always a defect.
	Unexpected
)

// Balanced stands for the replica of an operation that a client sent to one replica after the other until one answered.
const Balanced int8 = -1

// Op is one operation. Times count from the recorder's origin.
type Op struct {
	Start, End time.Duration
	// Session is the number that the harness gave to the session.
	Session int32
	// Gen is the generation of the token that was presented: 0 from the login, 1 from the first refresh. 0 for a login.
	Gen int32
	// Successor identifies the refresh token that a login or refresh returned, whatever replica signed it.
	Successor uint64
	// SID is the "sid" claim of the access token that a login or refresh returned: the session's name in the log.
	SID string
	// Expires is an instant before which the access token that a login or refresh returned has not expired.
	Expires time.Duration
	Status  int16 // HTTP status, 0 when there was no answer
	Replica int8
	Kind    Kind
	Outcome Outcome
}

// Fault is a disturbance of one replica, from its injection until the replica is ready again. End is 0 when it never was.
type Fault struct {
	Name       string
	Replica    int8
	Start, End time.Duration
}

// Covers reports whether the fault was in force at any instant from from to to.
func (f Fault) Covers(from, to time.Duration) bool {
	return f.Start <= to && (f.End == 0 || from <= f.End)
}

// History is a finished record.
type History struct {
	Ops    []Op // by Start
	Faults []Fault
}

// Recorder collects a history. Its clock starts when it is made.
type Recorder struct {
	origin time.Time // with monotonic reading; never changes

	mu     sync.Mutex // guards all below
	shards []*Shard
	strays []Op // of goroutines that record too little for a shard of their own
	faults []Fault
}

// NewRecorder returns an empty recorder.
func NewRecorder() *Recorder { return &Recorder{origin: time.Now()} }

// Now returns the time since the recorder was made. Safe for concurrent use.
func (r *Recorder) Now() time.Duration { return time.Since(r.origin) }

// Shard is the part of a history that one goroutine writes.
type Shard struct{ ops []Op }

// Shard returns a new part. Safe for concurrent use.
func (r *Recorder) Shard() *Shard {
	s := &Shard{}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shards = append(r.shards, s)
	return s
}

// Add appends op. Only the goroutine that owns s may call it.
func (s *Shard) Add(op Op) { s.ops = append(s.ops, op) }

// Add appends op. Safe for concurrent use, and slower than a shard's.
func (r *Recorder) Add(op Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.strays = append(r.strays, op)
}

// Fault notes the begin of a disturbance and returns the function that notes its end. Safe for concurrent use.
func (r *Recorder) Fault(name string, replica int) (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.faults)
	r.faults = append(r.faults, Fault{Name: name, Replica: int8(replica), Start: r.Now()})
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.faults[n].End = r.Now()
	}
}

// History returns everything recorded so far. All goroutines that own a shard must have ended.
func (r *Recorder) History() *History {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := &History{Faults: slices.Clone(r.faults), Ops: slices.Clone(r.strays)}
	for _, s := range r.shards {
		h.Ops = append(h.Ops, s.ops...)
	}
	slices.SortStableFunc(h.Ops, func(a, b Op) int { return cmp.Compare(a.Start, b.Start) })
	return h
}

// Disturbed reports whether a fault of replica was in force at any instant from from to to.
func (h *History) Disturbed(replica int8, from, to time.Duration) bool {
	for _, f := range h.Faults {
		if f.Replica == replica && f.Covers(from, to) {
			return true
		}
	}
	return false
}

var kindNames = [...]string{Login: "login", Verify: "verify", Refresh: "refresh", Logout: "logout"}

// String returns the name of k in a history file.
func (k Kind) String() string {
	if k == 0 || int(k) >= len(kindNames) {
		return "kind?"
	}
	return kindNames[k]
}

var outcomeNames = [...]string{Unknown: "unknown", OK: "ok", Refused: "refused", Unavailable: "unavailable", Unexpected: "unexpected"}

// String returns the name of o in a history file.
func (o Outcome) String() string {
	if int(o) >= len(outcomeNames) {
		return "outcome?"
	}
	return outcomeNames[o]
}
