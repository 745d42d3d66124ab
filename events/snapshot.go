package events

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// SnapshotStreamName is the name of the JetStream stream that keeps snapshots of what the log means. Consumers of events have no
// rights to it.
const SnapshotStreamName = "KNELL_SNAPSHOTS"

const (
	snapshotPrefix = "knell.snapshot." // followed by sequence, author and part
	snapshotHead   = "head"            // the part that says what the others are; it is written last

	// chunkSize is so small that a chunk delays a message of the log by little.
	chunkSize  = 256 << 10
	chunkReads = 4 // chunks that are asked for at a time

	leastSnapshotBytes = 64 << 20
	snapshotShare      = 4 // of the log's limit snapshots get one part in so many
)

// ErrSnapshot says that a snapshot cannot be had as it was written: a part of it is missing or damaged.
var ErrSnapshot = errors.New("events: snapshot is damaged")

// Snapshot describes a snapshot that is kept.
type Snapshot struct {
	Seq    uint64 // of the last message of the log that is in it
	Node   string // that wrote it
	Epoch  ID     // of the log
	Format uint32
	Level  uint32 // schema level of the log at Seq
	Size   int64  // bytes; 0: it was not written to its end
	Hash   []byte // of its bytes, for whoever wrote it to say which
}

// snapshotHeader is the head of a snapshot as it is stored.
type snapshotHeader struct {
	Epoch  string `json:"epoch"`
	Format uint32 `json:"format"`
	Level  uint32 `json:"level"`
	Size   int64  `json:"size"`
	Hash   []byte `json:"hash"`
}

// snapshotStream is the stream of snapshots, once it has been found.
type snapshotStream struct {
	mu sync.Mutex
	s  jetstream.Stream
}

// SnapshotBytes returns the limit of the stream of snapshots beside a log of so many bytes.
func SnapshotBytes(logMaxBytes int64) int64 {
	return max(logMaxBytes/snapshotShare, leastSnapshotBytes)
}

// snapshots returns the stream of snapshots. Without create it is ErrStreamNotFound until somebody has written one.
func (l *Log) snapshots(ctx context.Context, create bool) (jetstream.Stream, error) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if l.store.s != nil {
		return l.store.s, nil
	}
	s, err := l.js.Stream(ctx, SnapshotStreamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) && create {
		s, err = l.createSnapshots(ctx)
	}
	if err != nil {
		return nil, err
	}
	l.store.s = s
	return s, nil
}

// createSnapshots makes the stream of snapshots, with as many copies as the log has.
func (l *Log) createSnapshots(ctx context.Context) (jetstream.Stream, error) {
	log, err := l.js.Stream(ctx, StreamName)
	if err != nil {
		return nil, err
	}
	of := log.CachedInfo().Config
	cfg := jetstream.StreamConfig{
		Name:        SnapshotStreamName,
		Description: "Snapshots of what Knell's event log means",
		// As many tokens as rights name: a leaf node passes on what matches them token by token.
		Subjects:          []string{snapshotPrefix + "*.*.*"},
		MaxBytes:          -1,
		Discard:           jetstream.DiscardNew,
		MaxMsgsPerSubject: 1,
		MaxMsgSize:        chunkSize + maxHeaders,
		Storage:           jetstream.FileStorage,
		Replicas:          of.Replicas,
		DenyDelete:        true,
		// A copy that lags may lack a part, or have an old one: the hash tells, and it is asked for again.
		AllowDirect: true,
	}
	if of.MaxBytes > 0 {
		cfg.MaxBytes = SnapshotBytes(of.MaxBytes)
	}
	return l.js.CreateStream(ctx, cfg)
}

// parts returns how many parts a snapshot of this size has.
func (s *Snapshot) parts() int64 { return s.Size/chunkSize + min(s.Size%chunkSize, 1) }

func (s *Snapshot) subject(part string) string {
	return snapshotPrefix + strconv.FormatUint(s.Seq, 10) + "." + s.Node + "." + part
}

// PutSnapshot keeps data as the snapshot s of this node; Size is filled in. It is there, whole and on the disks of a majority, when
// PutSnapshot returns nil. After an error there may be parts of it, which are no snapshot; to put it again replaces them.
func (l *Log) PutSnapshot(ctx context.Context, s Snapshot, data []byte) error {
	s.Node, s.Size = l.cfg.Node, int64(len(data))
	if _, err := l.withSnapshots(ctx, true); err != nil {
		return fmt.Errorf("events: keeping a snapshot: %w", err)
	}
	head, err := json.Marshal(snapshotHeader{Epoch: s.Epoch.String(), Format: s.Format, Level: s.Level, Size: s.Size, Hash: s.Hash})
	if err != nil {
		return fmt.Errorf("events: keeping a snapshot: %w", err)
	}
	part := 0
	for chunk := range slices.Chunk(data, chunkSize) {
		// One after the other, with rests: nobody waits for it, and the log uses the same disks.
		began := time.Now()
		if err := l.putPart(ctx, s.subject(strconv.Itoa(part)), chunk); err != nil {
			return err
		}
		select {
		case <-time.After(2 * time.Since(began)):
		case <-ctx.Done():
			return fmt.Errorf("events: keeping a snapshot: %w", ctx.Err())
		}
		part++
	}
	return l.putPart(ctx, s.subject(snapshotHead), head)
}

// partTries is how often a part is written or asked for.
const partTries = 5

func (l *Log) putPart(ctx context.Context, subject string, data []byte) error {
	return retrying(ctx, func(ctx context.Context) error {
		_, err := l.js.Publish(ctx, subject, data, jetstream.WithExpectStream(SnapshotStreamName))
		return err
	})
}

// retrying calls do, which may meet an election, a few times.
func retrying(ctx context.Context, do func(ctx context.Context) error) error {
	var pause backoff
	for try := 1; ; try++ {
		one, cancel := context.WithTimeout(ctx, askTimeout)
		err := do(one)
		cancel()
		if err == nil || try == partTries || final(err) || !pause.wait(ctx, nil) {
			return err
		}
	}
}

// final reports whether to ask again is of no use.
func final(err error) bool {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, nats.ErrConnectionClosed):
		return true
	case errors.Is(err, jetstream.ErrMsgNotFound): // by a copy that lags
		return false
	}
	return errors.As(err, &api) && api.ErrorCode != codeNoLeader
}

// codeNoLeader is what JetStream answers while nobody leads.
const codeNoLeader = 10008

// withSnapshots returns the stream of snapshots; nil when there is none.
func (l *Log) withSnapshots(ctx context.Context, create bool) (stream jetstream.Stream, err error) {
	err = retrying(ctx, func(ctx context.Context) error {
		stream, err = l.snapshots(ctx, create)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) && !create {
		return nil, nil
	}
	return stream, err
}

// Snapshots returns the snapshots that are there, the newest first, of one sequence by their authors; also those that were not
// written to their end.
func (l *Log) Snapshots(ctx context.Context) ([]Snapshot, error) {
	stream, err := l.withSnapshots(ctx, false)
	if err != nil || stream == nil {
		return nil, wrapSnapshots(err)
	}
	var info *jetstream.StreamInfo
	err = retrying(ctx, func(ctx context.Context) (err error) {
		info, err = stream.Info(ctx, jetstream.WithSubjectFilter(snapshotPrefix+">"))
		return err
	})
	if err != nil {
		return nil, wrapSnapshots(err)
	}
	type found struct {
		head  bool
		parts int64
	}
	all := map[[2]string]found{}
	for subject := range info.State.Subjects {
		if t := strings.Split(strings.TrimPrefix(subject, snapshotPrefix), "."); len(t) == 3 {
			f := all[[2]string(t)]
			if t[2] == snapshotHead {
				f.head = true
			} else {
				f.parts++
			}
			all[[2]string(t)] = f
		}
	}
	var list []Snapshot
	for t, found := range all {
		s := Snapshot{Node: t[1]}
		if s.Seq, err = strconv.ParseUint(t[0], 10, 64); err != nil {
			continue
		}
		if found.head {
			if err := l.readHead(ctx, stream, &s); err != nil {
				return nil, wrapSnapshots(err)
			}
		}
		if s.parts() > found.parts { // nobody makes room for what a head only says
			s.Size = 0
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Snapshot) int { return cmp.Or(cmp.Compare(b.Seq, a.Seq), strings.Compare(a.Node, b.Node)) })
	return list, nil
}

func wrapSnapshots(err error) error {
	if err != nil {
		return fmt.Errorf("events: looking for snapshots: %w", err)
	}
	return nil
}

// readHead fills s in. A head that is damaged is that of a snapshot that was not written to its end.
func (l *Log) readHead(ctx context.Context, stream jetstream.Stream, s *Snapshot) error {
	data, err := getPart(ctx, stream, s.subject(snapshotHead))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil // dropped since
	}
	if err != nil {
		return err
	}
	var h snapshotHeader
	if json.Unmarshal(data, &h) != nil || h.Size < 0 {
		return nil
	}
	if s.Epoch, err = ParseID(h.Epoch); err == nil {
		s.Format, s.Level, s.Size, s.Hash = h.Format, h.Level, h.Size, h.Hash
	}
	return nil
}

func getPart(ctx context.Context, stream jetstream.Stream, subject string) (data []byte, err error) {
	err = retrying(ctx, func(ctx context.Context) error {
		m, err := stream.GetLastMsgForSubject(ctx, subject)
		if err == nil {
			data = m.Data
		}
		return err
	})
	return data, err
}

// GetSnapshot returns the bytes of a snapshot: as many as there should be. Whether they are the right ones is for the caller to find
// out. ErrSnapshot: parts of it are missing.
func (l *Log) GetSnapshot(ctx context.Context, s Snapshot) ([]byte, error) {
	stream, err := l.withSnapshots(ctx, false)
	if err != nil {
		return nil, wrapSnapshots(err)
	}
	if stream == nil || s.Size == 0 {
		return nil, fmt.Errorf("%w: it is not there", ErrSnapshot)
	}
	parts := make([][]byte, s.parts())
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var readers sync.WaitGroup
	for range chunkReads {
		readers.Go(func() {
			for i := range next {
				var err error
				if parts[i], err = getPart(ctx, stream, s.subject(strconv.Itoa(i))); err != nil {
					cancel(fmt.Errorf("part %d: %w", i, err))
				}
			}
		})
	}
	for i := range parts {
		select {
		case next <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	readers.Wait()
	if err := context.Cause(ctx); errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	} else if err != nil {
		return nil, fmt.Errorf("events: reading a snapshot: %w", err)
	}
	data := make([]byte, 0, s.Size)
	for _, p := range parts {
		data = append(data, p...)
	}
	if int64(len(data)) != s.Size {
		return nil, fmt.Errorf("%w: it has %d bytes, and %d were written", ErrSnapshot, len(data), s.Size)
	}
	return data, nil
}

// DropSnapshot removes a snapshot, whoever wrote it.
func (l *Log) DropSnapshot(ctx context.Context, s Snapshot) error {
	stream, err := l.withSnapshots(ctx, false)
	if err != nil || stream == nil {
		return wrapSnapshots(err)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(s.subject(">"))); err != nil {
		return fmt.Errorf("events: dropping a snapshot: %w", err)
	}
	return nil
}

// trimTimeout bounds the removal of messages, which takes longer than other questions when they are many.
const trimTimeout = 30 * time.Second

// Trim removes the messages before the sequence first. Only who is trusted with that has the right to it in NATS.
func (l *Log) Trim(ctx context.Context, first uint64) error {
	ctx, cancel := context.WithTimeout(ctx, trimTimeout)
	defer cancel()
	s, err := l.js.Stream(ctx, StreamName)
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSequence(first))
	}
	if err != nil {
		return fmt.Errorf("events: trimming the log: %w", err)
	}
	return nil
}
