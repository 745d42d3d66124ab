package events

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// acks hands the answers of JetStream to the appends that wait for them. All of them come on one subscription.
type acks struct {
	prefix string // of reply subjects, followed by a token in decimal
	sub    *nats.Subscription

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan<- answer
}

func newAcks(nc *nats.Conn) (*acks, error) {
	a := &acks{prefix: nc.NewInbox() + ".", waiting: map[uint64]chan<- answer{}}
	var err error
	if a.sub, err = nc.Subscribe(a.prefix+"*", a.receive); err != nil {
		return nil, err
	}
	// Answers are small, and fewer than the appends that wait: there is no limit to hit.
	if err := a.sub.SetPendingLimits(-1, -1); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *acks) close() error { return a.sub.Unsubscribe() }

// expect returns a reply subject and the token that forget takes. Answers to it go to c, as far as c has room.
func (a *acks) expect(c chan<- answer) (token uint64, reply string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next++
	a.waiting[a.next] = c
	return a.next, a.prefix + strconv.FormatUint(a.next, 10)
}

func (a *acks) forget(token uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, token)
}

func (a *acks) receive(m *nats.Msg) {
	token, err := strconv.ParseUint(m.Subject[len(a.prefix):], 10, 64)
	if err != nil {
		return
	}
	a.mu.Lock()
	c := a.waiting[token]
	a.mu.Unlock()
	if c == nil {
		return
	}
	select {
	case c <- readAnswer(m):
	default: // more answers than tries can have: only the first ones count
	}
}

// A verdict is what one try to append has come to.
type verdict int

const (
	lost    verdict = iota // no answer, or one that leaves it open: the message may be stored now or later
	stored                 // by this try or by an earlier one
	missed                 // this try has not stored it; the next one may
	full                   // this try has not stored it: there is no room
	refused                // this try has not stored it, and no other one will
)

// answer is what JetStream said.
type answer struct {
	verdict   verdict
	seq       uint64 // when stored
	duplicate bool   // when stored: not by this try
	err       error  // when not stored
}

// readAnswer reads a PubAck, or the server's word that nobody stores the subject.
func readAnswer(m *nats.Msg) answer {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return answer{verdict: missed, err: nats.ErrNoResponders}
	}
	var ack struct {
		Stream    string              `json:"stream"`
		Seq       uint64              `json:"seq"`
		Duplicate bool                `json:"duplicate"`
		Error     *jetstream.APIError `json:"error"`
	}
	if seq, ok := plainAck(m.Data); ok {
		return answer{verdict: stored, seq: seq}
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return answer{verdict: lost, err: err}
	}
	if ack.Error != nil {
		return answer{verdict: judge(ack.Error), err: ack.Error}
	}
	if ack.Stream != StreamName || ack.Seq == 0 {
		return answer{verdict: lost, err: jetstream.ErrInvalidJSAck}
	}
	return answer{verdict: stored, seq: ack.Seq, duplicate: ack.Duplicate}
}

// plainAck reads the usual answer, which is all that a busy appender gets, without reflection. nats-server writes it with
// and without a domain, and with a space before the sequence or without.
func plainAck(data []byte) (seq uint64, ok bool) {
	if data, ok = bytes.CutPrefix(data, []byte(`{"stream":"`+StreamName+`",`)); !ok {
		return 0, false
	}
	if rest, domain := bytes.CutPrefix(data, []byte(`"domain":"`)); domain {
		if _, data, ok = bytes.Cut(rest, []byte(`",`)); !ok {
			return 0, false
		}
	}
	data, ok = bytes.CutPrefix(bytes.TrimPrefix(data, []byte(" ")), []byte(`"seq":`))
	if !ok || len(data) == 0 || data[len(data)-1] != '}' {
		return 0, false
	}
	seq, err := strconv.ParseUint(string(data[:len(data)-1]), 10, 64)
	return seq, err == nil && seq > 0
}

// judge says what an API error means for the message.
func judge(err *jetstream.APIError) verdict {
	switch err.ErrorCode {
	case codeResourcesExceeded, codeNoResources, codeMemoryExceeded, codeStorageExceeded:
		return full
	case codeStoreFailed:
		if strings.Contains(err.Description, "maximum bytes") {
			return full
		}
		return lost
	case codeIDInProcess:
		return lost
	}
	if err.Code == 503 {
		return missed
	}
	return refused
}
