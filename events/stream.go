package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamName is the name of the JetStream stream that is the log.
const StreamName = "KNELL"

const (
	livePrefix = "knell.live."   // before the subject of a message that the stream's leader has stored and sends on
	reports    = "knell.report." // notices between nodes, followed by receiver and sender

	maxHeaders      = 4 << 10 // room beside MaxEvent in a stored message
	defaultMaxBytes = 10 << 30
	defaultWindow   = time.Minute
)

// ErrStreamConfig says that the stream KNELL exists and is not set up as it has to be.
var ErrStreamConfig = errors.New("events: stream has another configuration")

// streamConfig returns how the log is kept. Nothing in it lets a message disappear: no age, no limit per subject, no
// deletion inside; a full log refuses new messages. Direct gets are off because they are answered by followers that lag.
// The leader sends each message on as core NATS once it is stored, so that following takes no consumer.
func streamConfig(cfg Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:         StreamName,
		Description:  "Knell's event log",
		Subjects:     []string{subjectEvents + ">", subjectSecret + ">", subjectNode + ">"},
		Retention:    jetstream.LimitsPolicy,
		MaxConsumers: -1,
		MaxMsgs:      -1,
		MaxBytes:     cfg.MaxBytes,
		Discard:      jetstream.DiscardNew,
		// Purging stays possible for the one identity that trims the log at its front; nobody else has the right.
		DenyDelete:        true,
		MaxMsgsPerSubject: -1,
		MaxMsgSize:        MaxEvent + maxHeaders,
		Storage:           jetstream.FileStorage,
		Replicas:          cfg.Replicas,
		Duplicates:        cfg.DuplicateWindow,
		FirstSeq:          cfg.FirstSeq,
		RePublish:         &jetstream.RePublish{Source: ">", Destination: livePrefix + ">"},
	}
}

// compareConfig returns an ErrStreamConfig that names every setting in which have differs from want, or nil.
func compareConfig(want, have jetstream.StreamConfig) error {
	// Set by servers, raised by operators, of a log that was restored, or without an effect on what the log keeps.
	for _, c := range []*jetstream.StreamConfig{&want, &have} {
		c.Metadata, c.Description, c.Placement, c.MaxBytes, c.FirstSeq = nil, "", nil, 0, 0
	}
	w, h, err := settings(want, have)
	if err != nil {
		return err
	}
	var names, diffs []string
	for name := range w {
		names = append(names, name)
	}
	for name := range h {
		if _, both := w[name]; !both {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		if !reflect.DeepEqual(w[name], h[name]) {
			diffs = append(diffs, fmt.Sprintf("%s is %v, want %v", name, show(h[name]), show(w[name])))
		}
	}
	if diffs == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrStreamConfig, strings.Join(diffs, "; "))
}

// settings returns both configurations by the names that they have in NATS.
func settings(a, b jetstream.StreamConfig) (am, bm map[string]json.RawMessage, err error) {
	for _, x := range []struct {
		from jetstream.StreamConfig
		to   *map[string]json.RawMessage
	}{{a, &am}, {b, &bm}} {
		raw, err := json.Marshal(x.from)
		if err == nil {
			err = json.Unmarshal(raw, x.to)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("events: stream configuration: %w", err)
		}
	}
	return am, bm, nil
}

func show(raw json.RawMessage) string {
	if raw == nil {
		return "not set"
	}
	return string(raw)
}
