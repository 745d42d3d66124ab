package natsd

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// askStreamUpdate changes the stream's configuration. Replicas have no right to it.
const askStreamUpdate = "$JS.API.STREAM.UPDATE." + StreamName

// growWait bounds GrowLog: while nobody leads the stream, nobody answers, not even later.
const growWait = 2 * time.Second

// GrowLog raises the limit of the stream to maxBytes, and changes nothing else of it. It does nothing when the limit is that
// high already. It is the way out of a full log: nothing is removed from it.
func (s *Server) GrowLog(ctx context.Context, maxBytes int64) error {
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
