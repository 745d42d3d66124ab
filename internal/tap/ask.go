package tap

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"
)

// pulling is a request for events, with all of it that a reader needs.
type pulling struct {
	Batch     int           `json:"batch"`
	MaxBytes  int           `json:"max_bytes,omitempty"`
	NoWait    bool          `json:"no_wait,omitempty"`
	Expires   time.Duration `json:"expires,omitempty"`
	Heartbeat time.Duration `json:"idle_heartbeat,omitempty"`
}

const (
	// leastHeartbeat is the shortest time between two heartbeats, as JetStream has it for consumers that push. It has none for requests:
	// some that ask for one each nanosecond keep a core of the log's leader busy.
	leastHeartbeat = 100 * time.Millisecond
	mostExpires    = 24 * time.Hour
)

// pull returns the request for events in body, written anew. A reader has three forms for it: nothing, a number, and JSON.
func pull(body []byte) ([]byte, error) {
	p := pulling{Batch: 1}
	switch text := bytes.TrimSpace(body); {
	case len(text) == 0:
	case text[0] == '{':
		if err := json.Unmarshal(text, &p); err != nil {
			return nil, err
		}
	default:
		var err error
		if p.Batch, err = strconv.Atoi(string(text)); err != nil {
			return nil, err
		}
	}
	p.Batch, p.MaxBytes = max(p.Batch, 1), max(p.MaxBytes, 0)
	p.Expires = min(max(p.Expires, 0), mostExpires)
	if p.Heartbeat = max(p.Heartbeat, 0); p.Heartbeat > 0 {
		p.Heartbeat = max(p.Heartbeat, leastHeartbeat)
	}
	if p.Heartbeat > p.Expires/2 { // the server would refuse it
		p.Heartbeat = 0
	}
	return json.Marshal(p)
}

// acknowledge returns what a reader says about an event, if there is anything to it: numbers are how often it was delivered, its
// sequence in the log, its number among the deliveries, a time, and how many are to come. JetStream takes the number among the deliveries as
// it is told: were it that of an earlier connection, which a client may acknowledge late, all acknowledgements up to there would come to
// nothing. What this connection has not delivered under that number is therefore not acknowledged, and comes again.
func (c *session) acknowledge(subject, numbers string, body []byte) (to string, text []byte, err error) {
	var n [5]uint64
	words := strings.Split(numbers, ".")
	if len(words) != len(n) {
		return "", nil, errDenied
	}
	for i, word := range words {
		var ok bool
		if n[i], ok = number([]byte(word)); !ok {
			return "", nil, errDenied
		}
	}
	seq, count := n[1], n[2]
	plain := len(body) == 0 || string(body) == "+ACK" || string(body) == "+OK"
	switch {
	case !plain && string(body) != "+WPI" && !bytes.HasPrefix(body, []byte("-NAK")) && !bytes.HasPrefix(body, []byte("+TERM")):
		return "", nil, errDenied // +NXT is a request as well
	case plain && c.rewound && seq > c.acked: // there are as many of them as events
		err = nil
	default:
		err = c.wait(1)
	}
	if err != nil || c.rewound && !c.sent.has(count, seq) || count > seq {
		return "", nil, err
	}
	if plain {
		c.acked = max(c.acked, seq)
	}
	if plain || bytes.HasPrefix(body, []byte("+TERM")) {
		c.sent.forget(count)
	}
	return subject, body, nil
}

// deliveries are the sequences of what a connection has delivered, from the newest on that was acknowledged: as many as JetStream sends
// without an acknowledgement. The zero value has none.
type deliveries struct {
	mu    sync.Mutex
	first uint64   // number of seqs[0] among the deliveries
	seqs  []uint64 // the next ones have the next numbers
}

// add adds the newest ones, of which the last is the delivery count.
func (d *deliveries) add(count uint64, seqs []uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.seqs) == 0 {
		d.first = count + 1 - uint64(len(seqs))
	}
	d.seqs = append(d.seqs, seqs...)
}

// has reports whether the delivery count was that of the event seq, or both lie before what was acknowledged, where they do nothing.
func (d *deliveries) has(count, seq uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch i := count - d.first; {
	case len(d.seqs) == 0:
		return false
	case count < d.first:
		return seq < d.seqs[0]
	default:
		return i < uint64(len(d.seqs)) && d.seqs[i] == seq
	}
}

// forget drops what comes before a delivery.
func (d *deliveries) forget(count uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := count - d.first; count >= d.first && i < uint64(len(d.seqs)) {
		d.first, d.seqs = count, d.seqs[i:]
	}
}

// A pace lets so many things through at once, and so many a second in the long run. The zero value is fresh.
type pace struct{ due time.Time }

// take counts cost things, and returns how long to wait before they may go on.
func (p *pace) take(now time.Time, cost int, each time.Duration, burst int) time.Duration {
	if begin := now.Add(-time.Duration(burst) * each); p.due.Before(begin) {
		p.due = begin
	}
	p.due = p.due.Add(time.Duration(cost) * each)
	return max(p.due.Sub(now), 0)
}

// Commands of a connection, beside acknowledgements: some of them are proposals to the copies of a consumer, which are synced.
const (
	commandEach  = time.Second / 5000
	commandBurst = 2000
	aboutCost    = 20 // a question goes through the queue of the JetStream API, which all replicas share
)

// wait waits until a command that costs so much may go on.
func (c *session) wait(cost int) error {
	d := c.pace.take(time.Now(), cost, commandEach, commandBurst)
	if d == 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-c.pass.Context.Done():
		return c.pass.Check()
	}
}
