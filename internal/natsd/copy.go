package natsd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// ErrIncomplete says that this server's copy of the log lacks messages that the log has. Nothing fills it again by itself:
// nats-server takes a store whose beginning is gone for one that was trimmed, goes on with it, leads with it, and lets other
// servers copy it.
var ErrIncomplete = errors.New("natsd: this copy of the log is incomplete")

const (
	copyPoll     = 50 * time.Millisecond
	copyPatience = 10 * time.Second // for the server to open its copy, and to repair what it can
)

// Begins returns where the log begins for whoever has applied so much of it. nil: that is not known yet.
type Begins func() (first, applied uint64)

// CheckCopy returns when the server's copy of the log is open and whole, or there is none to hold. It returns an error that
// wraps ErrIncomplete when the copy still lacks messages after 10 s or at ctx's end, and nil when it is not open by then:
// CopyLacks is to be asked again later.
func (s *Server) CheckCopy(ctx context.Context, begins Begins) error {
	ctx, cancel := context.WithTimeout(ctx, copyPatience)
	defer cancel()
	if !s.holdsCopy(ctx) {
		return nil
	}
	for {
		known, err := s.copyLacks(begins)
		if known && err == nil {
			return nil
		}
		select {
		case <-time.After(copyPoll):
		case <-ctx.Done():
			return err
		}
	}
}

// CopyLacks returns an error that wraps ErrIncomplete if the server's copy of the log lacks messages, as far as it is open.
func (s *Server) CopyLacks(begins Begins) error {
	_, err := s.copyLacks(begins)
	return err
}

// AwaitCopy returns true when the server's copy of the log reaches the sequence seq, or there is none to hold, and false when ctx ends
// before. A copy that is being filled, or whose Raft log had to be reset, does not vote for what it does not have.
func (s *Server) AwaitCopy(ctx context.Context, seq uint64) bool {
	if !s.holdsCopy(ctx) {
		return true
	}
	for end, _ := s.CopyEnd(); end < seq; end, _ = s.CopyEnd() {
		select {
		case <-time.After(copyPoll):
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// CopyEnd returns the last sequence of the server's copy of the log; ok is false when there is none, or it is not open yet.
// nats-server's own word for it, "current", is also said by a copy that hears of no leader.
func (s *Server) CopyEnd() (seq uint64, ok bool) {
	st, ok := s.copyState()
	return st.LastSeq, ok
}

// holdsCopy reports whether this server holds a copy of the log: one is open here, or the log's leader counts it among those that hold
// one. It asks until there is an answer; when ctx ends before, nobody denied it, and it is true.
func (s *Server) holdsCopy(ctx context.Context) bool {
	if !s.srv.JetStreamEnabled() {
		return false
	}
	for {
		if _, open := s.CopyEnd(); open {
			return true
		}
		if holders, err := s.holders(ctx); err == nil {
			return slices.Contains(holders, s.name)
		}
		select {
		case <-time.After(copyPoll):
		case <-ctx.Done():
			return true
		}
	}
}

// holders asks the log's leader which servers hold a copy.
func (s *Server) holders(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	nc, err := s.connect(ctx, s.users.keeper, adminInbox(s.name))
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	var info streamInfo
	if err := request(ctx, nc, askStreamInfo, nil, &info); err != nil {
		return nil, err
	}
	list := []string{info.Cluster.Leader}
	for _, r := range info.Cluster.Replicas {
		list = append(list, r.Name)
	}
	return list, nil
}

// copyLacks looks at the store itself, not at what a leader says. The log has no holes, so a complete copy holds all between its
// first and its last message, and it begins where the log itself says that it does.
func (s *Server) copyLacks(begins Begins) (known bool, err error) {
	st, known := s.copyState()
	if !known {
		return false, nil
	}
	if begins == nil {
		return true, lacks(st.FirstSeq, st.LastSeq, st.Msgs, st.FirstSeq)
	}
	// In this order: what is trimmed was decided by a message that this copy has.
	first, applied := begins()
	if undecided(st, first, applied) {
		return false, nil
	}
	return true, lacks(st.FirstSeq, st.LastSeq, st.Msgs, first)
}

// undecided reports whether it can't be told yet if a copy lacks messages: of a log that begins at first for a replica which has applied
// so much of it. Either the replica is behind its copy, or the copy is behind its replica: what the log had been trimmed of when the
// copy was filled is missing in it, and it begins too early, until it gets as far as the trim. Such a copy does not lead.
func undecided(st server.StreamState, first, applied uint64) bool {
	begin := max(st.FirstSeq, 1)
	switch {
	case begin > first:
		return applied < st.LastSeq
	case st.LastSeq < applied && st.LastSeq >= begin:
		missing := st.LastSeq + 1 - begin - min(st.Msgs, st.LastSeq+1-begin)
		return missing > 0 && missing <= first-begin
	}
	return false
}

// copyState returns what the store of the log has; ok is false when it is not open.
func (s *Server) copyState() (st server.StreamState, ok bool) {
	detail, err := s.srv.JszAccount(&server.JSzOptions{Account: Account, Streams: true})
	if err != nil {
		return st, false // JetStream is not up yet, or not any more
	}
	for _, d := range detail.Streams {
		if d.Name == StreamName {
			return d.State, true
		}
	}
	return st, false
}

// lacks says what a store from first to last lacks that holds so many messages of a log that begins at begin. It may have more.
func lacks(first, last, messages, begin uint64) error {
	first = max(first, 1) // of an empty store it may be 0
	switch {
	case first > max(begin, 1):
		return fmt.Errorf("%w: it begins at message %d; move the data directory away and start again, and the other replicas fill a new one", ErrIncomplete, first)
	case messages+first < last+1:
		return fmt.Errorf("%w: it has %d of %d messages; move the data directory away and start again, and the other replicas fill a new one",
			ErrIncomplete, messages, last+1-first)
	}
	return nil
}
