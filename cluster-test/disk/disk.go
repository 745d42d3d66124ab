// Package disk is a file system in memory, mounted through FUSE, that keeps what was synced apart from what was only
// written, and forgets the latter when its power is cut. It can also be slow, stall and be full.
//
// It owns the files, what of them is durable, and the mount. It does not know who uses it (package cluster) nor when its
// power fails (package fault).
//
// # What is durable
//
// Data and length of a file are durable once fsync of it has returned, or a write through a descriptor opened with O_SYNC
// or O_DSYNC. Nothing else makes data durable: there is no write-back in the background, so the loss is the greatest that a
// machine could suffer, or, on request, leaves a part of what was appended since the last sync: a torn end.
//
// Names are durable once fsync of their directory has returned. Beyond POSIX, and as on ext4, XFS and btrfs, fsync of a file
// or directory also makes the names durable under which it can be found, up to the root: nats-server relies on that for
// new blocks. A rename or removal that nothing has synced is lost: the old name is there again, with the data that was
// durable. A rename is atomic: after a loss a file never has both names or none of them, whichever side was synced.
//
// Stricter than ext4 with its journal: fsync of one file does not bring the names of other files along.
package disk

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Device is what it takes to mount a disk, beside the right to.
const Device = "/dev/fuse"

// rootID is the number of the root directory, as FUSE has it.
const rootID = 1

// Disk is a file system. Its methods are safe for concurrent use.
type Disk struct {
	mu     sync.Mutex // guards all below and everything in the nodes
	nodes  map[uint64]*node
	last   uint64
	used   int64
	limit  int64 // bytes that files may have in all
	power  power
	turned *sync.Cond    // when power has changed
	cut    chan struct{} // closed when the power is cut; a new one when it is back

	slow    time.Duration // what a sync takes
	stalled time.Time     // no sync ends before

	mount *mount // nil when not mounted
}

// power is the state of the power supply.
type power uint8

const (
	on      power = iota
	holding       // between on and off: operations wait
	off           // operations fail
)

// node is a file, a directory, or something else that has a name. Its number is never used again.
type node struct {
	id       uint64
	mode     uint32 // with type
	modified time.Time
	handles  int // open

	data   []byte
	synced int64  // length that is durable
	undo   []undo // what brings the durable bytes back, the newest last

	entries, kept map[string]*node // of a directory: now, and after a loss of power
	names, held   map[place]bool   // where the node is found: now, and after a loss of power
}

// place is a name in a directory.
type place struct {
	dir  *node
	name string
}

// undo is durable bytes that were overwritten or cut off since the last sync.
type undo struct {
	at  int64
	old []byte
}

// New returns an empty disk for so many bytes, with its power on.
func New(bytes int64) *Disk {
	d := &Disk{nodes: map[uint64]*node{}, limit: bytes, cut: make(chan struct{})}
	d.turned = sync.NewCond(&d.mu)
	d.make(syscall.S_IFDIR | 0o700)
	return d
}

// make returns a new node without a name.
func (d *Disk) make(mode uint32) *node {
	d.last++
	n := &node{id: d.last, mode: mode, modified: time.Now(), names: map[place]bool{}, held: map[place]bool{}}
	if n.isDir() {
		n.entries, n.kept = map[string]*node{}, map[string]*node{}
	}
	d.nodes[n.id] = n
	return n
}

func (n *node) isDir() bool { return n.mode&syscall.S_IFMT == syscall.S_IFDIR }

// find returns the node of a number. One that is gone was removed, here or by the loss of power.
func (d *Disk) find(id uint64) (*node, error) {
	if n := d.nodes[id]; n != nil {
		return n, nil
	}
	return nil, syscall.ESTALE
}

func (d *Disk) dir(id uint64) (*node, error) {
	n, err := d.find(id)
	if err == nil && !n.isDir() {
		err = syscall.ENOTDIR
	}
	return n, err
}

func (d *Disk) lookup(dir *node, name string) (*node, error) {
	if n := dir.entries[name]; n != nil {
		return n, nil
	}
	return nil, syscall.ENOENT
}

// link gives n a name. Who had it before loses it.
func (d *Disk) link(dir *node, name string, n *node) {
	d.unlink(dir, name)
	dir.entries[name] = n
	n.names[place{dir, name}] = true
	dir.modified = time.Now()
}

// unlink takes a name away, when somebody has it.
func (d *Disk) unlink(dir *node, name string) {
	n := dir.entries[name]
	if n == nil {
		return
	}
	delete(dir.entries, name)
	delete(n.names, place{dir, name})
	dir.modified = time.Now()
	d.drop(n)
}

// drop frees a node that nothing can lead to any more.
func (d *Disk) drop(n *node) {
	if len(n.names)+len(n.held)+n.handles > 0 || n.id == rootID {
		return
	}
	d.used -= int64(len(n.data))
	delete(d.nodes, n.id)
	for name, child := range n.kept {
		delete(child.held, place{n, name})
		d.drop(child)
	}
}

func (d *Disk) create(dir *node, name string, mode uint32) (*node, error) {
	if dir.entries[name] != nil {
		return nil, syscall.EEXIST
	}
	n := d.make(mode)
	d.link(dir, name, n)
	return n, nil
}

func (d *Disk) remove(dir *node, name string, wantDir bool) error {
	n, err := d.lookup(dir, name)
	switch {
	case err != nil:
		return err
	case wantDir && !n.isDir():
		return syscall.ENOTDIR
	case !wantDir && n.isDir():
		return syscall.EISDIR
	case len(n.entries) > 0:
		return syscall.ENOTEMPTY
	}
	d.unlink(dir, name)
	return nil
}

func (d *Disk) rename(from *node, name string, to *node, newName string) error {
	n, err := d.lookup(from, name)
	if err != nil {
		return err
	}
	if old := to.entries[newName]; old != nil {
		switch {
		case old == n:
			return nil
		case n.isDir() && !old.isDir():
			return syscall.ENOTDIR
		case !n.isDir() && old.isDir():
			return syscall.EISDIR
		case len(old.entries) > 0:
			return syscall.ENOTEMPTY
		}
	}
	d.link(to, newName, n) // first, so that n always has a name
	delete(from.entries, name)
	delete(n.names, place{from, name})
	return nil
}

func (d *Disk) write(n *node, at int64, p []byte) error {
	if err := d.resize(n, max(int64(len(n.data)), at+int64(len(p)))); err != nil {
		return err
	}
	n.preserve(at, at+int64(len(p)))
	copy(n.data[at:], p)
	n.modified = time.Now()
	return nil
}

// preserve notes the durable bytes between two offsets, which are about to change.
func (n *node) preserve(from, to int64) {
	if to = min(to, n.synced, int64(len(n.data))); from < to {
		n.undo = append(n.undo, undo{from, slices.Clone(n.data[from:to])})
	}
}

// resize cuts a file off or extends it with zeros.
func (d *Disk) resize(n *node, size int64) error {
	have := int64(len(n.data))
	if size > have && d.used+size-have > d.limit {
		return syscall.ENOSPC
	}
	d.used += size - have
	if size < have {
		n.preserve(size, have)
		n.data = n.data[:size]
	} else if size > have {
		n.data = slices.Grow(n.data, int(size-have))[:size]
		clear(n.data[have:])
	}
	n.modified = time.Now()
	return nil
}

// sync makes a node durable: the data of a file, the names in a directory, and the names that lead to it.
func (d *Disk) sync(n *node) {
	n.synced, n.undo = int64(len(n.data)), nil
	if n.isDir() {
		for _, child := range slices.AppendSeq(slices.Collect(maps.Values(n.kept)), maps.Values(n.entries)) {
			d.keepPath(child)
		}
	}
	d.keepPath(n)
}

// keepPath makes the names durable that lead to n.
func (d *Disk) keepPath(n *node) {
	d.keep(n)
	for p := range n.names {
		d.keepPath(p.dir)
	}
}

// keep makes durable under which names a node is found, and under which not any more. Who had one of them before is found
// under its present names: the two cannot both have it, and a file that was renamed away must not be lost.
func (d *Disk) keep(n *node) {
	if maps.Equal(n.held, n.names) {
		return
	}
	for p := range n.held {
		if !n.names[p] && p.dir.kept[p.name] == n {
			delete(p.dir.kept, p.name)
		}
	}
	n.held = maps.Clone(n.names)
	for p := range n.names {
		before := p.dir.kept[p.name]
		p.dir.kept[p.name] = n
		if before != nil && before != n {
			d.keepPath(before)
		}
	}
	d.drop(n)
}

// forget makes everything what it was when it was last synced. With a source of randomness, part of what was appended to a
// file since then is left, as if it had happened to be written.
func (d *Disk) forget(torn *rand.Rand) {
	for _, id := range slices.Sorted(maps.Keys(d.nodes)) { // in order, so that equal seeds leave equal parts
		n := d.nodes[id]
		n.handles = 0
		if more := int64(len(n.data)) - n.synced; torn != nil && more > 0 {
			n.synced += torn.Int64N(more + 1)
		}
		n.revert()
		n.entries, n.names = maps.Clone(n.kept), maps.Clone(n.held)
	}
	d.used = 0
	for _, n := range d.nodes {
		d.used += int64(len(n.data))
	}
	for _, n := range d.nodes { // of those that are left, which deleting during the loop allows
		d.drop(n)
	}
}

// revert brings the durable bytes of a file back.
func (n *node) revert() {
	if short := n.synced - int64(len(n.data)); short > 0 {
		n.data = append(n.data, make([]byte, short)...)
	}
	n.data = n.data[:n.synced]
	for _, u := range slices.Backward(n.undo) {
		copy(n.data[u.at:], u.old)
	}
	n.undo = nil
}

// errno returns the number of an error for FUSE.
func errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if e, ok := err.(syscall.Errno); ok {
		return e
	}
	return syscall.EIO
}

// Supported returns why this process cannot mount a disk, nil when it can.
func Supported() error {
	dir, err := os.MkdirTemp("", "knell-disk-")
	if err != nil {
		return err
	}
	d := New(0)
	err = d.Mount(dir)
	return errors.Join(err, d.Unmount(), os.Remove(dir))
}

// Mount shows the disk at dir.
func (d *Disk) Mount(dir string) error {
	m, err := newMount(d, dir)
	if err != nil {
		return err
	}
	d.mount = m
	return nil
}

// Unmount takes the disk away and ends its goroutines. The files stay in the Disk.
func (d *Disk) Unmount() error {
	if d.mount == nil {
		return nil
	}
	m := d.mount
	d.mount = nil
	return m.close()
}
