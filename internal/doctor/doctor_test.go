package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// one returns the only finding of a check.
func one(t *testing.T, check string, examine func(*Report)) Finding {
	t.Helper()
	r := &Report{}
	examine(r)
	var found []Finding
	for _, f := range r.Findings {
		if f.Check == check {
			found = append(found, f)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d findings of %q in %+v", len(found), check, r.Findings)
	}
	return found[0]
}

func (f Finding) is(t *testing.T, name string, level Level, text string) {
	t.Helper()
	if f.Level != level || !strings.Contains(f.Text, text) {
		t.Errorf("%s: %v %q (%s), want %v %q", name, f.Level, f.Text, f.Do, level, text)
	}
}

func TestClocks(t *testing.T) {
	for _, c := range []struct {
		mono, wall time.Duration
		level      Level
	}{
		{time.Second, time.Second, OK},
		{time.Second, time.Second + 15*time.Millisecond, OK},
		{time.Second, time.Second + 90*time.Millisecond, Warning}, // set, or too fast
		{time.Second, 900 * time.Millisecond, Warning},
		{time.Second, -time.Hour, Warning},
	} {
		one(t, "clock", func(r *Report) { r.clocks(c.mono, c.wall) }).is(t, c.wall.String(), c.level, "")
	}
	for _, c := range []struct {
		off, within time.Duration
		level       Level
		text        string
	}{
		{300 * time.Millisecond, time.Millisecond, OK, "within 300ms"},
		{-1500 * time.Millisecond, time.Second, OK, ""},
		{3 * time.Second, time.Second, Warning, "3s ahead of this machine"},
		{-3 * time.Second, time.Second, Warning, "3s behind this machine"},
		{-2 * time.Hour, time.Second, Bad, "2h0m0s behind this machine"},
	} {
		one(t, "clock", func(r *Report) { r.Apart("r2", c.off, c.within) }).is(t, c.off.String(), c.level, c.text)
	}
	one(t, "clock", func(r *Report) { r.Look(Watch()) }).is(t, "this machine", OK, "went alike")
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "node.json")
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir, file os.FileMode
		level     Level
		text      string
	}{
		{0o700, 0o600, OK, "mode 0700"},
		{0o750, 0o600, Warning, "others can see"},
		{0o770, 0o600, Bad, "others can replace"},
	} {
		if err := os.Chmod(dir, c.dir); err != nil {
			t.Fatal(err)
		}
		one(t, "directory", func(r *Report) { r.Directory(dir) }).is(t, c.dir.String(), c.level, c.text)
	}
	for _, c := range []struct {
		mode  os.FileMode
		level Level
		text  string
	}{
		{0o600, OK, "mode 0600"},
		{0o640, Warning, "others can read it"},
		{0o620, Bad, "others can replace it"},
	} {
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		one(t, "secrets", func(r *Report) { r.Secret("route-key", file) }).is(t, c.mode.String(), c.level, c.text)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := &Report{}
	if !r.Directory(dir) || r.Worst() != Bad && r.Worst() != Warning {
		t.Errorf("an open file in the directory: %+v", r.Findings)
	}
	one(t, "directory", func(r *Report) { r.Directory(file) }).is(t, "a file", Bad, "is no directory")
	one(t, "directory", func(r *Report) { r.Directory(dir + "/none") }).is(t, "none", Warning, "no such file")
	one(t, "secrets", func(r *Report) { r.Secret("tls-key", dir+"/none") }).is(t, "none", Bad, "no such file")
	one(t, "secrets", func(r *Report) { r.Secret("tls-key", dir) }).is(t, "a directory", Warning, "no regular file")
}

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	r := &Report{}
	r.Disk(dir, true)
	if len(r.Findings) != 2 || !strings.Contains(r.Findings[0].Text, "a synced write takes") {
		t.Errorf("%+v", r.Findings)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	one(t, "space", func(r *Report) { r.Space(dir, 0) }).is(t, "enough", OK, "free")
	one(t, "space", func(r *Report) { r.Space(dir, 1<<60) }).is(t, "too little", Warning, "may grow by")
	one(t, "space", func(r *Report) { r.Space(dir+"/none", 0) }).is(t, "none", Bad, "no such file")
	if runtime.GOOS != "linux" {
		return
	}
	one(t, "disk", func(r *Report) { r.Disk("/proc", true) }).is(t, "where nobody can write", Bad, "/proc")
	if _, err := os.Stat("/dev/shm"); err == nil {
		one(t, "file system", func(r *Report) { r.fileSystem("/dev/shm", true) }).is(t, "memory", Bad, "tmpfs")
		one(t, "file system", func(r *Report) { r.fileSystem("/dev/shm", false) }).is(t, "memory", Warning, "new keys")
	}
}

func TestLimits(t *testing.T) {
	r := &Report{}
	r.Limits(Process{PID: os.Getpid(), Workers: 1})
	if len(r.Findings) != 3 {
		t.Errorf("%+v", r.Findings)
	}
	if runtime.GOOS == "linux" && !strings.Contains(r.Findings[0].Text, "the replica's limit") {
		t.Errorf("%+v", r.Findings[0])
	}
	low, high := outgoingPorts()
	if low <= 0 || high <= low {
		t.Fatalf("ports from %d to %d", low, high)
	}
	address := func(port int) Finding {
		return one(t, "addresses", func(r *Report) { r.Address("listen", fmt.Sprint("127.0.0.1:", port), port) })
	}
	address(low-1).is(t, "a fixed port", OK, "--listen 127.0.0.1:")
	address(high).is(t, "a port of outgoing connections", Warning, "may give away this one")
}
