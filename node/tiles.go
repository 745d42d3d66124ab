package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/knell-auth/knell/events"
)

// tileKeeper is what the apply loop tells the goroutine that stores full tiles.
type tileKeeper struct{ poke chan struct{} }

func (k *tileKeeper) wake() {
	select {
	case k.poke <- struct{}{}:
	default:
	}
}

const (
	tileEvery = time.Second
	// tilePatience is how long a replica leaves a tile to the one whose event made it full. Every replica has it.
	tilePatience = 5 * time.Second
)

// keepTiles stores the full tiles of the tree, until the node ends. They are stored in the order in which they get full: where one
// is, all before it are.
func (n *Node) keepTiles() {
	if n.until(n.ctx, n.keeping.begun) != nil {
		return
	}
	tick := time.NewTicker(tileEvery)
	defer tick.Stop()
	opened, tried := false, false
	var first uint64 // order of the oldest tile that waits
	var since time.Time
	for {
		if !opened {
			err := n.openTiles()
			if opened = err == nil; !opened && !tried && n.ctx.Err() == nil {
				n.log.Warn("no place for the tiles of the log's tree yet", "error", err)
			}
			tried = true
		}
		n.mu.RLock()
		waiting := n.state.leaves.waiting
		n.mu.RUnlock()
		if len(waiting) > 0 && opened {
			if first != waiting[0].order {
				first, since = waiting[0].order, time.Now()
			}
			if err := n.storeTiles(waiting, time.Since(since) > tilePatience); err != nil && n.ctx.Err() == nil {
				n.log.Debug("tiles not stored yet", "waiting", len(waiting), "error", err)
			}
		}
		select {
		case <-n.hot.tiles.poke:
		case <-tick.C:
		case <-n.ctx.Done():
			return
		}
	}
}

// awaitTiles waits until so many tiles are known to be stored, which takes as long as another replica is given to do it.
func (n *Node) awaitTiles(ctx context.Context, order uint64) error {
	look := time.NewTicker(tileEvery / 4)
	defer look.Stop()
	for until := time.Now().Add(2 * tilePatience); ; {
		n.mu.RLock()
		waiting := n.state.leaves.waiting
		n.mu.RUnlock()
		if len(waiting) == 0 || waiting[0].order > order {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("tile %s of the log's tree is not stored yet", waiting[0].name)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// openTiles makes the place where tiles are stored, and looks how many are there.
func (n *Node) openTiles() error {
	ctx, cancel := context.WithTimeout(n.ctx, statTimeout)
	err := n.cfg.Log.OpenTiles(ctx)
	cancel()
	var stored uint64
	if err == nil {
		stored, err = n.storedTiles()
	}
	if err == nil {
		n.dropTiles(stored)
	}
	return err
}

// storedTiles returns how many tiles are stored at least.
func (n *Node) storedTiles() (order uint64, err error) {
	n.mu.RLock()
	log := n.state.log
	n.mu.RUnlock()
	has := func(count uint64) (bool, error) {
		_, err := n.storedTile(n.ctx, tileName(log, 0, count-1))
		if errors.Is(err, events.ErrNoTile) {
			return false, nil
		}
		return err == nil, err
	}
	low, high := uint64(0), uint64(1) // low are there, high are not
	for ok := true; ok; {
		if ok, err = has(high); ok {
			low, high = high, 2*high
		}
	}
	for err == nil && high-low > 1 {
		var ok bool
		middle := low + (high-low)/2
		if ok, err = has(middle); ok {
			low = middle
		} else {
			high = middle
		}
	}
	if err != nil || low == 0 {
		return 0, err
	}
	return tileOrder(low - 1), nil
}

// storedTile returns a tile as it is stored.
func (n *Node) storedTile(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, statTimeout)
	defer cancel()
	return n.cfg.Log.Tile(ctx, name)
}

// storeTiles stores what waits, as far as it is this replica's to do; overdue: all of it.
func (n *Node) storeTiles(waiting []fullTile, overdue bool) error {
	newest := waiting[len(waiting)-1]
	have, err := n.storedTile(n.ctx, newest.name)
	switch {
	case errors.Is(err, events.ErrNoTile):
	case err != nil:
		return err
	default:
		if !bytes.Equal(have, newest.data) {
			n.otherTile(newest.name)
		}
		n.dropTiles(newest.order)
		return nil
	}
	for _, t := range waiting {
		if t.author != n.cfg.Name && !overdue {
			return nil
		}
		ctx, cancel := context.WithTimeout(n.ctx, statTimeout)
		err := n.cfg.Log.PutTile(ctx, t.name, t.data)
		cancel()
		if errors.Is(err, events.ErrOtherTile) {
			n.otherTile(t.name)
		} else if err != nil {
			return err
		}
		n.dropTiles(t.order)
	}
	return nil
}

func (n *Node) dropTiles(order uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state.leaves.drop(order)
}

// otherTile says that somebody has stored another tile. A replica that computes another tree is found by its digest and fenced;
// what else there is, was written by somebody who may not. Whatever is read from such a tile fails against the root of the tree.
func (n *Node) otherTile(name string) {
	n.log.Error("the stored tile is not the one that this replica has computed", "tile", name)
}
