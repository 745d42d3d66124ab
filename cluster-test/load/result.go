package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Format is the version of Result as JSON. Results of another format cannot be compared.
const Format = 1

// Result is what a run measured. Times are milliseconds where a name ends in MS, else seconds; instants count from the end
// of the warm-up.
type Result struct {
	Format      int           `json:"format"`
	Began       time.Time     `json:"began"`
	Measured    float64       `json:"measured"` // how long
	Interrupted bool          `json:"interrupted,omitempty"`
	Environment []Fact        `json:"environment"`
	Operations  []Operation   `json:"operations"`
	Parts       Parts         `json:"logout_parts"`
	Revocation  Revocation    `json:"revocation"`
	Replicas    []ReplicaView `json:"replicas"`
	Faults      []Fault       `json:"faults"`
	Seconds     []Second      `json:"seconds"`
	Expired     int64         `json:"sessions_expired"`     // sessions thrown away because their token's time was up
	FalseAlarms int64         `json:"refresh_false_alarms"` // good refresh tokens that were refused
	Doubtful    int64         `json:"refresh_doubtful"`     // refused after an attempt that was not answered
	Stream      bool          `json:"stream"`               // the replicas tell how far they have followed their log
	Slot        float64       `json:"lane_slot"`            // length of a slot of a lane
	Traced      int64         `json:"traced_logouts"`       // that were watched from before they were asked for
	TraceAfter  float64       `json:"traced_after"`         // how long after their return at most
	Lateness    Distribution  `json:"lateness"`             // of requests, by the load tester's own doing
}

// Fact is a line of the environment of a run.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Operation is what came of one kind of operation.
type Operation struct {
	Kind        string       `json:"kind"`
	Due         int64        `json:"due"`
	OK          int64        `json:"ok"`
	Refused     int64        `json:"refused"`
	Unavailable int64        `json:"unavailable"` // no connection, or a check that was answered 503
	Unknown     int64        `json:"unknown"`     // no answer, or 503 to anything else
	Unexpected  int64        `json:"unexpected"`  // an answer that the interface does not have
	Unsent      int64        `json:"unsent"`      // too many were under way
	NoSession   int64        `json:"no_session"`  // there was no session to work on
	Retried     int64        `json:"retried"`     // attempts at another replica
	Latency     Distribution `json:"latency"`     // from due to answered, of those that succeeded
}

// Distribution describes latencies.
type Distribution struct {
	Count  int64   `json:"count"`
	MeanMS float64 `json:"mean_ms"`
	MinMS  float64 `json:"min_ms"`
	P50MS  float64 `json:"p50_ms"`
	P90MS  float64 `json:"p90_ms"`
	P99MS  float64 `json:"p99_ms"`
	P999MS float64 `json:"p999_ms"`
	MaxMS  float64 `json:"max_ms"`
	Curve  []Point `json:"curve"`
}

// Point says that this percentage of all took at most so long.
type Point struct {
	Percentile float64 `json:"percentile"`
	MS         float64 `json:"ms"`
}

// Parts says where logouts spent their time, as far as answers say (Server-Timing).
type Parts struct {
	Commit Distribution `json:"commit"` // until it was in the log and applied where it was asked for
	Wait   Distribution `json:"wait"`   // from then until every other replica followed, or its lease had ended
	Rest   Distribution `json:"rest"`   // HTTP, waiting for a free core, attempts that failed
	Last   []Last       `json:"last"`
}

// Last is how often a replica was the one that was waited for last, and how long the wait was then.
type Last struct {
	Name  string  `json:"name"`
	Count int64   `json:"count"`
	P50MS float64 `json:"p50_ms"`
	MaxMS float64 `json:"max_ms"`
}

// Revocation is what the checks after logouts saw. Warm-up counts, too.
type Revocation struct {
	Logouts    int64   `json:"logouts"` // returned, and some replica said yes or no to a check that was sent after that
	Checks     int64   `json:"checks"`  // sent after the return and answered yes or no
	Leaks      int64   `json:"leaks"`   // of these, answered yes
	Leaking    int64   `json:"leaking_logouts"`
	Bound      float64 `json:"bound"` // upper confidence bound on the share of logouts that leak
	Confidence float64 `json:"confidence"`
	Unanswered int64   `json:"unanswered"` // checks that got 503 or no answer: they prove nothing
	Unsent     int64   `json:"unsent"`     // checks that were not sent because too many were under way
}

// ReplicaView is what was seen at one replica.
type ReplicaView struct {
	Name   string       `json:"name"`
	URL    string       `json:"url"`
	Checks int64        `json:"checks"`
	Leaks  int64        `json:"leaks"`
	Verify Distribution `json:"verify"`
	// Sent, relative to the return of the logout; negative is before it. Of the traced logouts.
	LastAccept   Spread `json:"last_accept"`
	FirstRefusal Spread `json:"first_refusal"`

	Lane          []Span    `json:"lane"`
	Refusing      float64   `json:"refusing"` // answered 503
	Silent        float64   `json:"silent"`   // did not answer within half a second
	WrongRefusals int64     `json:"wrong_refusals"`
	LeaksAt       []float64 `json:"leaks_at,omitempty"` // tenths of a second in which there were some

	LagMax int64   `json:"lag_max"` // events behind the replica that was furthest
	LagP99 int64   `json:"lag_p99"`
	Behind float64 `json:"behind"` // the longest time that something was missing here that another one had
	Gaps   int64   `json:"gaps"`   // went back, or differed at the same sequence
}

// Spread describes some instants.
type Spread struct {
	Count int     `json:"count"`
	MinMS float64 `json:"min_ms"`
	P50MS float64 `json:"p50_ms"`
	P99MS float64 `json:"p99_ms"`
	MaxMS float64 `json:"max_ms"`
}

// State is what a replica does for somebody with a good token.
type State string

// States of a lane.
const (
	Accepting State = "accepting"
	Refusing  State = "refusing" // 503: it can't prove that it is current
	Silent    State = "silent"   // no answer
	Wrong     State = "wrong"    // it refuses a good token, or answers nonsense
)

// Span is a time in which a replica was in one state.
type Span struct {
	State State   `json:"state"`
	From  float64 `json:"from"`
	To    float64 `json:"to"`
}

// Fault is a disturbance, from its injection until its replica was ready again. To is 0 if it never was.
type Fault struct {
	Name    string  `json:"name"`
	Replica string  `json:"replica"`
	From    float64 `json:"from"`
	To      float64 `json:"to"`
}

// Second is what fell due in one second.
type Second struct {
	Logouts     int64   `json:"logouts"`
	LogoutMaxMS float64 `json:"logout_max_ms"`
	Verifies    int64   `json:"verifies"`
	VerifyMaxMS float64 `json:"verify_max_ms"`
}

// Bounds of a histogram, in microseconds, and its resolution.
const (
	shortest = 1
	longest  = 10 * 60 * 1000 * 1000
	digits   = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(shortest, longest, digits) }

// record adds a latency; what is out of bounds counts as the bound.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 0), longest)) // within bounds it does not fail
}

// curveTicks is the number of points of a curve in each halving of what is left up to 100 %.
const curveTicks = 4

// describe sums a histogram up.
func describe(h *hdrhistogram.Histogram) Distribution {
	if h.TotalCount() == 0 {
		return Distribution{}
	}
	ms := func(us int64) float64 { return float64(us) / 1000 }
	d := Distribution{
		Count: h.TotalCount(), MeanMS: h.Mean() / 1000, MinMS: ms(h.Min()), MaxMS: ms(h.Max()),
		P50MS: ms(h.ValueAtQuantile(50)), P90MS: ms(h.ValueAtQuantile(90)),
		P99MS: ms(h.ValueAtQuantile(99)), P999MS: ms(h.ValueAtQuantile(99.9)),
	}
	for _, b := range h.CumulativeDistributionWithTicks(curveTicks) {
		d.Curve = append(d.Curve, Point{Percentile: b.Quantile, MS: ms(b.ValueAt)})
	}
	return d
}
