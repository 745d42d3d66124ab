package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// TileStream is the name of the JetStream stream that has the full tiles of the log's Merkle tree. They stay when the log is
	// trimmed.
	TileStream = "KNELL_TILES"

	tilePrefix = "knell.tile."
	// maxTile is the greatest size of a tile: hashes, and sequences of the leaves.
	maxTile = 16 << 10
)

// Errors of tiles.
var (
	// ErrNoTile: there is no tile of this name, or not yet.
	ErrNoTile = errors.New("events: no such tile")
	// ErrOtherTile: there is a tile of this name, and it has another content.
	ErrOtherTile = errors.New("events: the tile that is stored is another one")
)

// tileConfig returns how tiles are kept: one message for each, which nothing replaces or removes.
func tileConfig(cfg Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:                 TileStream,
		Description:          "Full tiles of the Merkle tree over Knell's event log",
		Subjects:             []string{tilePrefix + ">"},
		Retention:            jetstream.LimitsPolicy,
		MaxConsumers:         -1,
		MaxMsgs:              -1,
		MaxBytes:             -1,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		MaxMsgsPerSubject:    1,
		DenyDelete:           true,
		DenyPurge:            true,
		MaxMsgSize:           maxTile + maxHeaders,
		Storage:              jetstream.FileStorage,
		Replicas:             cfg.Replicas,
		Duplicates:           cfg.DuplicateWindow,
	}
}

// OpenTiles creates the stream of tiles unless it is there. One that is set up otherwise is ErrStreamConfig. A node that may not
// create it (Config.MustExist) gets ErrNoTile until another one has.
func (l *Log) OpenTiles(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	want := tileConfig(l.cfg)
	s, err := l.js.Stream(ctx, TileStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if l.cfg.MustExist {
			return fmt.Errorf("%w: nobody has made their stream yet", ErrNoTile)
		}
		// Several nodes may do this at once: all want the same, so all succeed.
		s, err = l.js.CreateStream(ctx, want)
	}
	if err != nil {
		return fmt.Errorf("events: tiles: %w", err)
	}
	have := s.CachedInfo().Config
	if l.cfg.MustExist {
		want.Replicas = have.Replicas
	}
	return compareConfig(want, have)
}

// PutTile stores a tile unless it is there already, and returns when it is stored. ErrOtherTile: there is another one of its
// name. Any other error leaves open whether it is stored; putting it again is harmless.
func (l *Log) PutTile(ctx context.Context, name string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err := l.js.PublishMsg(ctx, &nats.Msg{Subject: tilePrefix + name, Data: data})
	if err == nil {
		return nil
	}
	err = fmt.Errorf("events: storing a tile: %w", err)
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return err
	}
	// Refused, most likely because it is there, or about to be: another node's has got to the leader and not yet to the disks.
	var pause backoff
	for {
		have, missing := l.Tile(ctx, name)
		switch {
		case missing != nil && (!errors.Is(missing, ErrNoTile) || !pause.wait(ctx, nil)):
			return err
		case missing != nil:
		case !bytes.Equal(have, data):
			return fmt.Errorf("%w: %s", ErrOtherTile, name)
		default:
			return nil
		}
	}
}

// Tile returns the tile of this name, or ErrNoTile. A leader that has just been deposed may not know of the newest ones.
func (l *Log) Tile(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	question, err := json.Marshal(map[string]string{"last_by_subj": tilePrefix + name})
	if err != nil {
		return nil, fmt.Errorf("events: reading a tile: %w", err)
	}
	m, err := l.nc.RequestWithContext(ctx, l.api+"STREAM.MSG.GET."+TileStream, question)
	if err != nil {
		return nil, fmt.Errorf("events: reading a tile: %w", err)
	}
	var got struct {
		Message *struct {
			Data []byte `json:"data"`
		} `json:"message"`
		Error *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(m.Data, &got); {
	case err != nil:
		return nil, fmt.Errorf("events: reading a tile: %w", err)
	case got.Error != nil && (got.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound || got.Error.ErrorCode == jetstream.JSErrCodeStreamNotFound):
		return nil, fmt.Errorf("%w: %s", ErrNoTile, name)
	case got.Error != nil:
		return nil, fmt.Errorf("events: reading a tile: %w", got.Error)
	case got.Message == nil:
		return nil, fmt.Errorf("events: reading a tile: %w", jetstream.ErrInvalidJetStreamResponse)
	}
	return got.Message.Data, nil
}
