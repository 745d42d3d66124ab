package disk

import (
	"maps"
	"os"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// files answers the kernel. The kernel may keep nothing: names and attributes are asked for each time and data is not
// cached, so that it does not remember what the disk has forgotten.
type files struct {
	fuse.RawFileSystem // what is not below fails as not implemented, which the kernel knows how to do without

	d     *Disk
	lists map[uint64][]fuse.DirEntry // open directories as they were when they were opened; guarded by d.mu
	opens uint64                     // numbers for lists; guarded by d.mu
}

// noPower is what operations give when the power is off.
const noPower = fuse.EIO

func status(err error) fuse.Status { return fuse.Status(errno(err)) }

func (n *node) attr() fuse.Attr {
	at := n.modified
	links := uint32(len(n.names))
	if n.isDir() {
		links = 2
	}
	return fuse.Attr{
		Ino: n.id, Size: uint64(len(n.data)), Blocks: uint64(len(n.data)+511) / 512, Blksize: blockSize,
		Mode: n.mode, Nlink: links, Owner: fuse.Owner{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())},
		Mtime: uint64(at.Unix()), Mtimensec: uint32(at.Nanosecond()), Ctime: uint64(at.Unix()), Ctimensec: uint32(at.Nanosecond()),
		Atime: uint64(at.Unix()), Atimensec: uint32(at.Nanosecond()),
	}
}

// blockSize is the unit of StatFs and the preferred size of reads and writes.
const blockSize = 4096

func fill(out *fuse.EntryOut, n *node) { out.NodeId, out.Generation, out.Attr = n.id, 1, n.attr() }

// in calls do with a directory, when there is power.
func (f *files) in(dir uint64, do func(*node) error) fuse.Status {
	if !f.d.begin() {
		return noPower
	}
	defer f.d.mu.Unlock()
	n, err := f.d.dir(dir)
	if err != nil {
		return status(err)
	}
	return status(do(n))
}

// on calls do with a node, when there is power.
func (f *files) on(id uint64, do func(*node) error) fuse.Status {
	if !f.d.begin() {
		return noPower
	}
	defer f.d.mu.Unlock()
	n, err := f.d.find(id)
	if err != nil {
		return status(err)
	}
	return status(do(n))
}

// Lookup implements fuse.RawFileSystem, as do the methods below.
func (f *files) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return f.in(h.NodeId, func(dir *node) error {
		n, err := f.d.lookup(dir, name)
		if err == nil {
			fill(out, n)
		}
		return err
	})
}

func (f *files) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return f.on(in.NodeId, func(n *node) error {
		out.Attr = n.attr()
		return nil
	})
}

func (f *files) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return f.on(in.NodeId, func(n *node) error {
		if mode, ok := in.GetMode(); ok {
			n.mode = n.mode&^0o7777 | mode
		}
		if size, ok := in.GetSize(); ok {
			if err := f.d.resize(n, int64(size)); err != nil {
				return err
			}
		}
		if at, ok := in.GetMTime(); ok {
			n.modified = at
		}
		out.Attr = n.attr()
		return nil
	})
}

func (f *files) create(dir uint64, name string, mode uint32, out *fuse.EntryOut) fuse.Status {
	return f.in(dir, func(dir *node) error {
		n, err := f.d.create(dir, name, mode)
		if err == nil {
			fill(out, n)
		}
		return err
	})
}

func (f *files) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	return f.create(in.NodeId, name, in.Mode, out)
}

func (f *files) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return f.create(in.NodeId, name, in.Mode&0o7777|syscall.S_IFDIR, out)
}

func (f *files) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return f.in(h.NodeId, func(dir *node) error { return f.d.remove(dir, name, false) })
}

func (f *files) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return f.in(h.NodeId, func(dir *node) error { return f.d.remove(dir, name, true) })
}

func (f *files) Rename(_ <-chan struct{}, in *fuse.RenameIn, name, newName string) fuse.Status {
	if in.Flags != 0 {
		return fuse.EINVAL // exchange and the like
	}
	return f.in(in.NodeId, func(from *node) error {
		to, err := f.d.dir(in.Newdir)
		if err != nil {
			return err
		}
		return f.d.rename(from, name, to, newName)
	})
}

func (f *files) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return f.in(in.NodeId, func(dir *node) error {
		n, err := f.d.find(in.Oldnodeid)
		switch {
		case err != nil:
			return err
		case dir.entries[name] != nil:
			return syscall.EEXIST
		}
		f.d.link(dir, name, n)
		fill(out, n)
		return nil
	})
}

func (f *files) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return f.in(in.NodeId, func(dir *node) error {
		n, err := f.d.create(dir, name, in.Mode&0o7777|syscall.S_IFREG)
		if err != nil {
			return err
		}
		n.handles++
		fill(&out.EntryOut, n)
		out.OpenFlags = fuse.FOPEN_DIRECT_IO
		return nil
	})
}

func (f *files) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return f.on(in.NodeId, func(n *node) error {
		if in.Flags&syscall.O_TRUNC != 0 {
			if err := f.d.resize(n, 0); err != nil {
				return err
			}
		}
		n.handles++
		out.OpenFlags = fuse.FOPEN_DIRECT_IO
		return nil
	})
}

func (f *files) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if n := f.d.nodes[in.NodeId]; n != nil && n.handles > 0 {
		n.handles--
		f.d.drop(n)
	}
}

func (f *files) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	read := 0
	s := f.on(in.NodeId, func(n *node) error {
		if in.Offset < uint64(len(n.data)) {
			read = copy(buf, n.data[in.Offset:])
		}
		return nil
	})
	return fuse.ReadResultData(buf[:read]), s
}

func (f *files) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	s := f.on(in.NodeId, func(n *node) error { return f.d.write(n, int64(in.Offset), data) })
	if s == fuse.OK && in.Flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0 {
		s = f.sync(in.NodeId)
	}
	if s != fuse.OK {
		return 0, s
	}
	return uint32(len(data)), fuse.OK
}

func (f *files) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (f *files) sync(id uint64) fuse.Status {
	f.d.spin()
	return f.on(id, func(n *node) error {
		f.d.sync(n)
		return nil
	})
}

func (f *files) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status { return f.sync(in.NodeId) }

func (f *files) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status { return f.sync(in.NodeId) }

func (f *files) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return f.in(in.NodeId, func(dir *node) error {
		f.opens++
		out.Fh = f.opens
		for i, name := range slices.Sorted(maps.Keys(dir.entries)) {
			n := dir.entries[name]
			f.lists[out.Fh] = append(f.lists[out.Fh], fuse.DirEntry{Name: name, Ino: n.id, Mode: n.mode, Off: uint64(i) + 1})
		}
		return nil
	})
}

func (f *files) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return f.on(in.NodeId, func(*node) error {
		list := f.lists[in.Fh]
		for _, e := range list[min(in.Offset, uint64(len(list))):] {
			if !out.AddDirEntry(e) {
				break
			}
		}
		return nil
	})
}

func (f *files) ReleaseDir(in *fuse.ReleaseIn) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	delete(f.lists, in.Fh)
}

func (f *files) StatFs(_ <-chan struct{}, h *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	return f.on(h.NodeId, func(*node) error {
		free := uint64(max(f.d.limit-f.d.used, 0)) / blockSize
		*out = fuse.StatfsOut{
			Bsize: blockSize, Frsize: blockSize, NameLen: 255,
			Blocks: uint64(f.d.limit) / blockSize, Bfree: free, Bavail: free, Files: 1 << 20, Ffree: 1 << 20,
		}
		return nil
	})
}
