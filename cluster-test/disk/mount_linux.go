package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// mount is a disk that the kernel shows.
type mount struct {
	server *fuse.Server
	served chan struct{} // closed when the server has ended
}

func newMount(d *Disk, dir string) (*mount, error) {
	files := &files{RawFileSystem: fuse.NewDefaultRawFileSystem(), d: d, lists: map[uint64][]fuse.DirEntry{}}
	server, err := fuse.NewServer(files, dir, &fuse.MountOptions{
		FsName: "knell-disk", Name: "knell", DirectMountStrict: true, DisableXAttrs: true, DisableReadDirPlus: true, MaxWrite: 128 << 10,
	})
	if err != nil {
		return nil, fmt.Errorf("disk: mounting at %s: %w", dir, err)
	}
	m := &mount{server: server, served: make(chan struct{})}
	go func() { // ends when close unmounts
		defer close(m.served)
		server.Serve()
	}()
	if err := server.WaitMount(); err != nil {
		return nil, fmt.Errorf("disk: mounting at %s: %w", dir, err)
	}
	return m, keepFromChildren()
}

// keepFromChildren makes descriptors of the device end with exec: a process that inherited one would keep the mount alive
// after its server, and wait for answers for ever.
func keepFromChildren() error {
	const fds = "/proc/self/fd"
	entries, err := os.ReadDir(fds)
	if err != nil {
		return err
	}
	for _, e := range entries {
		var fd int
		if to, err := os.Readlink(filepath.Join(fds, e.Name())); err == nil && to == Device {
			if _, err := fmt.Sscan(e.Name(), &fd); err == nil {
				syscall.CloseOnExec(fd)
			}
		}
	}
	return nil
}

// close unmounts. It fails while somebody has a file open.
func (m *mount) close() error {
	if err := m.server.Unmount(); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	<-m.served
	return nil
}
