package eventstest

import (
	"bytes"
	"context"
	"fmt"

	"github.com/knell-auth/knell/events"
)

// OpenTiles does nothing. While the handle is cut off it waits, as the others do.
func (n *Node) OpenTiles(ctx context.Context) error { return n.reach(ctx) }

// PutTile stores a tile as events.Log.PutTile does.
func (n *Node) PutTile(ctx context.Context, name string, data []byte) error {
	if err := n.reach(ctx); err != nil {
		return err
	}
	m := n.m
	m.mu.Lock()
	defer m.mu.Unlock()
	have, ok := m.tiles[name]
	switch {
	case !ok:
		m.tiles[name] = bytes.Clone(data)
	case !bytes.Equal(have, data):
		return fmt.Errorf("%w: %s", events.ErrOtherTile, name)
	}
	return nil
}

// Tile returns a tile as events.Log.Tile does.
func (n *Node) Tile(ctx context.Context, name string) ([]byte, error) {
	if err := n.reach(ctx); err != nil {
		return nil, err
	}
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	data, ok := n.m.tiles[name]
	if !ok {
		return nil, fmt.Errorf("%w: %s", events.ErrNoTile, name)
	}
	return bytes.Clone(data), nil
}

// SetTile replaces a stored tile, or removes it if data is nil: a fault.
func (m *Memory) SetTile(name string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if data == nil {
		delete(m.tiles, name)
		return
	}
	m.tiles[name] = bytes.Clone(data)
}
