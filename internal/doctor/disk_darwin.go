package doctor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// fileSystemOf returns the name of what dir lies on, and its kind if that is one of those that matter.
func fileSystemOf(dir string) (name, kind string, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", "", fmt.Errorf("%s: %w", dir, err)
	}
	name = unix.ByteSliceToString(st.Fstypename[:])
	switch name {
	case "nfs", "smbfs", "webdav":
		kind = network
	}
	return name, kind, nil
}
