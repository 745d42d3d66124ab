package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Modes of files: the bits of others than the owner.
const (
	groupOrOthers = 0o077
	mayWrite      = 0o022
)

// Directory checks a data directory: that this user owns it, and that nobody else can read what is in it. It holds password hashes and
// the keys that tokens are signed with. It reports whether there is one.
func (r *Report) Directory(dir string) bool {
	const check = "directory"
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.Warn(check, "start the replica for the first time, which makes it, or give --data", "%v", err)
		return false
	case err != nil:
		r.Bad(check, "run doctor as the user that the replica runs as", "%v", err)
		return false
	case !info.IsDir():
		r.Bad(check, "give --data", "%s is no directory", dir)
		return false
	}
	own := os.Geteuid()
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != own {
		r.Warn(check, "run doctor as the user that the replica runs as", "%s belongs to user %d, doctor runs as user %d", dir, st.Uid, own)
	}
	switch mode := info.Mode().Perm(); {
	case mode&mayWrite != 0:
		r.Bad(check, "chmod 700 "+dir, "%s has mode %#o: others can replace what is in it", dir, mode)
	case mode&groupOrOthers != 0:
		r.Warn(check, "chmod 700 "+dir, "%s has mode %#o: others can see what is in it", dir, mode)
	default:
		r.OK(check, "%s, mode %#o", dir, mode)
	}
	r.strays(dir)
	return true
}

// strays checks the files right in a data directory.
func (r *Report) strays(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		r.Bad("directory", "run doctor as the user that the replica runs as", "%v", err)
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&groupOrOthers == 0 || e.Name() == "mode.json" {
			continue
		}
		path := filepath.Join(dir, e.Name())
		r.Warn("directory", "chmod 600 "+path, "%s has mode %#o", path, info.Mode().Perm())
	}
}

// Secret checks a file with a key or another secret, which a flag names: only its owner should be able to read it.
func (r *Report) Secret(flag, path string) {
	const check = "secrets"
	info, err := os.Stat(path)
	switch {
	case err != nil:
		r.Bad(check, "", "--%s: %v", flag, err)
	case info.Mode()&fs.ModeType != 0:
		r.Warn(check, "name a regular file", "--%s %s is no regular file: it cannot be read again", flag, path)
	case info.Mode().Perm()&mayWrite != 0:
		r.Bad(check, "chmod 600 "+path, "--%s %s has mode %#o: others can replace it", flag, path, info.Mode().Perm())
	case info.Mode().Perm()&groupOrOthers != 0:
		r.Warn(check, "chmod 600 "+path, "--%s %s has mode %#o: others can read it", flag, path, info.Mode().Perm())
	default:
		r.OK(check, "--%s %s, mode %#o", flag, path, info.Mode().Perm())
	}
}
