package node

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/knell-auth/knell/events"
)

// room is how full the log is, and what takes over when it has no room for attempts.
type room struct {
	bytes, limit atomic.Int64
	own          ownGuesses
	retaining    retaining
	left         leftReaders

	mu     sync.Mutex // guards all below
	level  int        // how many of sheds do not go into the log any more
	last   uint64     // the log's end, as its leader said
	leader string     // log server that leads, as it said; "": not known yet
}

// Shares of the log's limit at which a kind of event is not appended any more: the rest is for revocations, beats and keys.
const (
	attemptShare = 0.8
	loginShare   = 0.9
	adminShare   = 0.95 // what creates or widens; what narrows is always tried
)

// sheds are what is not appended any more beyond a share.
var sheds = [...]struct {
	share float64
	what  string
}{{attemptShare, "attempts"}, {loginShare, "logins"}, {adminShare, "accounts"}, {1, "everything"}}

// roomSlack is by how much of the limit less must be used than a share before that is over.
const roomSlack = 0.02

// nearlyFull reports whether more than share of the log's limit is used.
func (n *Node) nearlyFull(share float64) bool {
	limit := n.room.limit.Load()
	return limit > 0 && float64(n.room.bytes.Load()) > share*float64(limit)
}

// measureLog notes how full the log is, so that noise is shed before room for revocations runs out.
func (n *Node) measureLog(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, statTimeout)
	defer cancel()
	stat, err := n.cfg.Log.Stat(ctx)
	if err != nil {
		return
	}
	n.room.bytes.Store(stat.Bytes)
	n.room.limit.Store(stat.MaxBytes)
	n.noteLeader(stat)
	if stat.MaxBytes > 0 {
		n.noteRoom(float64(stat.Bytes) / float64(stat.MaxBytes))
	}
}

// noteLeader notes where the log ends, and counts the changes of the server that leads it.
func (n *Node) noteLeader(stat events.Stat) {
	r := &n.room
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = max(r.last, stat.Last)
	if stat.Leader == "" {
		return
	}
	if r.leader != "" && r.leader != stat.Leader {
		n.hot.counts.leaderChanges.Add(1)
	}
	r.leader = stat.Leader
}

// noteRoom notes that a share of the log's limit is used, and tells the operator once when that begins or ceases to matter. A log that
// has refused a beat is used up, whatever it measures.
func (n *Node) noteRoom(used float64) {
	r := &n.room
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.level
	for r.level < len(sheds) && used >= sheds[r.level].share {
		r.level++
	}
	for r.level > 0 && used < sheds[r.level-1].share-roomSlack {
		r.level--
	}
	about := []any{"bytes", r.bytes.Load(), "limit", r.limit.Load()}
	switch {
	case r.level < before:
		n.log.Info("the log has room again", about...)
	case r.level == before:
	case r.level == len(sheds):
		n.log.Error("the log is full: no replica can renew its lease, all refuse; give it a greater limit", about...)
	default:
		n.log.Warn("the log fills up: give it a greater limit", append(about, "sheds", sheds[r.level-1].what)...)
	}
}

// sheds returns the last of what does not go into the log any more, "" while all does.
func (r *room) sheds() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.level == 0 {
		return ""
	}
	return sheds[r.level-1].what
}
