package natsd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// askStreamUpdate changes the stream's configuration. Replicas have no right to it.
const askStreamUpdate = "$JS.API.STREAM.UPDATE." + StreamName

// askStreamPurge removes messages from the front of the log. Replicas have no right to it.
const askStreamPurge = "$JS.API.STREAM.PURGE." + StreamName

// trimWait bounds TrimLog, which takes longer when much is removed.
const trimWait = 30 * time.Second

// ErrNoCopy says that this server keeps no copy of the log.
var ErrNoCopy = errors.New("natsd: there is no copy of the log here")

// TrimLog removes the messages before the sequence first. It is for those that the log itself has decided to do without.
func (s *Server) TrimLog(ctx context.Context, first uint64) error {
	if !s.srv.JetStreamEnabled() {
		return ErrNoCopy
	}
	ctx, cancel := context.WithTimeout(ctx, trimWait)
	defer cancel()
	nc, err := s.connect(ctx, s.users.keeper, adminInbox(s.name))
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := request(ctx, nc, askStreamPurge, map[string]uint64{"seq": first}, nil); err != nil {
		return fmt.Errorf("natsd: trimming the log: %w", err)
	}
	return nil
}

// growWait bounds GrowLog: while nobody leads the stream, nobody answers, not even later.
const growWait = 2 * time.Second

// GrowLog raises the limit of the stream to maxBytes, and changes nothing else of it. It does nothing when the limit is that
// high already, or when this server keeps no copy. It is the way out of a full log.
func (s *Server) GrowLog(ctx context.Context, maxBytes int64) error {
	if !s.srv.JetStreamEnabled() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, growWait)
	defer cancel()
	nc, err := s.connect(ctx, s.users.keeper, adminInbox(s.name))
	if err != nil {
		return err
	}
	defer nc.Close()
	var info struct {
		Config map[string]json.RawMessage `json:"config"` // as it is, whatever this version knows of it
	}
	if err := request(ctx, nc, askStreamInfo, nil, &info); err != nil {
		return fmt.Errorf("natsd: limit of the log: %w", err)
	}
	var have int64
	if err := json.Unmarshal(info.Config["max_bytes"], &have); err != nil {
		return fmt.Errorf("natsd: limit of the log: %w", err)
	}
	if have < 0 || have >= maxBytes {
		return nil
	}
	if info.Config["max_bytes"], err = json.Marshal(maxBytes); err != nil {
		return fmt.Errorf("natsd: limit of the log: %w", err)
	}
	if err := request(ctx, nc, askStreamUpdate, info.Config, nil); err != nil {
		return fmt.Errorf("natsd: raising the limit of the log from %d to %d bytes: %w", have, maxBytes, err)
	}
	return nil
}
