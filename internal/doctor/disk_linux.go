package doctor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// fileSystems are those that are known by their number (statfs(2)).
var fileSystems = map[uint32]struct{ name, kind string }{
	unix.EXT4_SUPER_MAGIC:      {"ext4", ""},
	unix.XFS_SUPER_MAGIC:       {"xfs", ""},
	unix.BTRFS_SUPER_MAGIC:     {"btrfs", ""},
	unix.F2FS_SUPER_MAGIC:      {"f2fs", ""},
	0x2fc12fc1:                 {"zfs", ""},
	unix.TMPFS_MAGIC:           {"tmpfs", memory},
	unix.RAMFS_MAGIC:           {"ramfs", memory},
	unix.OVERLAYFS_SUPER_MAGIC: {"overlay", layer},
	unix.NFS_SUPER_MAGIC:       {"nfs", network},
	unix.SMB_SUPER_MAGIC:       {"smb", network},
	unix.CIFS_SUPER_MAGIC:      {"cifs", network},
	unix.SMB2_SUPER_MAGIC:      {"smb2", network},
	unix.V9FS_MAGIC:            {"9p", network},
	unix.FUSE_SUPER_MAGIC:      {"fuse", network},
}

// fileSystemOf returns the name of what dir lies on, and its kind if that is one of those that matter.
func fileSystemOf(dir string) (name, kind string, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", "", fmt.Errorf("%s: %w", dir, err)
	}
	if known, ok := fileSystems[uint32(st.Type)]; ok {
		return known.name, known.kind, nil
	}
	return fmt.Sprintf("number %#x", uint32(st.Type)), "", nil
}
