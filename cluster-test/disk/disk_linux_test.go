package disk

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/knell-auth/knell/internal/durable"
)

// mounted returns a disk and where it is mounted. The test is skipped where that is not possible.
func mounted(t *testing.T, bytes int64) (*Disk, string) {
	t.Helper()
	d, dir := New(bytes), t.TempDir()
	if err := d.Mount(dir); err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return d, dir
}

// TestScenarios runs testdata/*.txt, each on one mounted disk after the other. A scenario is
//
//	# its name
//	mkdir d, write d/f text, append f text, osync f text, truncate f 3, sync d/f, rename f g, link f g, unlink f, rmdir d
//	power                          (cut and back)
//	want d/f=text g=other          (all files there are, and no others; "d/" is an empty directory)
//
// one command a line. write truncates the file first; osync does the same through a descriptor with O_SYNC.
func TestScenarios(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var title string
		scenarios, order := map[string][]string{}, []string{}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if line := strings.TrimSpace(lines.Text()); strings.HasPrefix(line, "# ") {
				title = line[2:]
				order = append(order, title)
			} else if line != "" {
				scenarios[title] = append(scenarios[title], line)
			}
		}
		for _, title := range order {
			t.Run(title, func(t *testing.T) { perform(t, scenarios[title]) })
		}
	}
}

func perform(t *testing.T, commands []string) {
	d, dir := mounted(t, 1<<20)
	for _, line := range commands {
		w := strings.Fields(line)
		if w[0] == "power" {
			d.Hold()
			d.Lose(nil)
			d.Restore()
			continue
		}
		if w[0] == "want" {
			if got := list(t, dir); got != strings.Join(w[1:], " ") {
				t.Errorf("%s\n got %s", line, got)
			}
			continue
		}
		if err := command(dir, w); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
}

func command(dir string, w []string) error {
	path := filepath.Join(dir, w[1])
	switch w[0] {
	case "mkdir":
		return os.Mkdir(path, 0o700)
	case "write":
		return put(path, os.O_TRUNC, w[2])
	case "append":
		return put(path, os.O_APPEND, w[2])
	case "osync":
		return put(path, os.O_TRUNC|os.O_SYNC, w[2])
	case "truncate":
		var size int64
		_, err := fmt.Sscan(w[2], &size)
		return errors.Join(err, os.Truncate(path, size))
	case "sync":
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	case "rename":
		return os.Rename(path, filepath.Join(dir, w[2]))
	case "link":
		return os.Link(path, filepath.Join(dir, w[2]))
	case "unlink", "rmdir":
		return os.Remove(path)
	}
	return errors.New("unknown command")
}

// TestDurable: what package durable has made is there after a power loss, with all directories above it, and no half of it.
func TestDurable(t *testing.T) {
	d, dir := mounted(t, 1<<20)
	power := func(want string) {
		t.Helper()
		d.Hold()
		d.Lose(nil)
		d.Restore()
		if got := list(t, dir); got != want {
			t.Errorf("there is %q, want %q", got, want)
		}
	}
	for _, err := range []error{
		durable.MakeDir(filepath.Join(dir, "a", "b", "c")), durable.MakeDir(filepath.Join(dir, "a", "b", "c")), os.Mkdir(filepath.Join(dir, "lost"), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	power("a/b/c/")
	file := filepath.Join(dir, "a", "b", "c", "f")
	for _, text := range []string{"one", "two"} {
		if err := durable.WriteFile(file, []byte(text)); err != nil {
			t.Fatal(err)
		}
		power("a/b/c/f=" + text)
	}
	if err := durable.Rename(file, filepath.Join(dir, "g")); err != nil {
		t.Fatal(err)
	}
	if err := durable.MakeDir(filepath.Join(dir, "g", "h")); err == nil {
		t.Error("made a directory below a file")
	}
}

func put(path string, flags int, text string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|flags, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// list returns the files below dir with their contents.
func list(t *testing.T, dir string) string {
	var found []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		if e.IsDir() {
			inside, err := os.ReadDir(path)
			if len(inside) == 0 {
				found = append(found, name+"/")
			}
			return err
		}
		text, err := os.ReadFile(path)
		found = append(found, name+"="+string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(found, " ")
}

// TestPowerDuringSync: what waits for the disk when the power goes was never done.
func TestPowerDuringSync(t *testing.T) {
	d, dir := mounted(t, 1<<20)
	path := filepath.Join(dir, "f")
	if err := errors.Join(put(path, 0, "old"), command(dir, []string{"sync", "f"}), put(path, 0, "new")); err != nil {
		t.Fatal(err)
	}
	d.Stall(time.Hour)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	synced := make(chan error)
	go func() { synced <- f.Sync() }()
	d.Hold()
	d.Lose(nil)
	if err := <-synced; !errors.Is(err, syscall.EIO) {
		t.Errorf("sync without power: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, syscall.EIO) {
		t.Errorf("stat without power: %v", err)
	}
	f.Close()
	d.Restore()
	if got := list(t, dir); got != "f=old" {
		t.Errorf("got %s", got)
	}
}

// TestSlow: a sync takes as long as it was told to, a write does not.
func TestSlow(t *testing.T) {
	d, dir := mounted(t, 1<<20)
	const each = 30 * time.Millisecond
	d.Slow(each)
	begin := time.Now()
	if err := put(filepath.Join(dir, "f"), os.O_SYNC, "x"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < each {
		t.Errorf("a write through O_SYNC took %v", took)
	}
	d.Slow(0)
	d.Stall(each)
	begin = time.Now()
	if err := command(dir, []string{"sync", "f"}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < each/2 { // it began a little later than the stall
		t.Errorf("a stalled sync took %v", took)
	}
}

// TestTornEnd: what was synced is there, and of what was appended since, any part may be.
func TestTornEnd(t *testing.T) {
	lengths := map[int]bool{}
	for seed := range uint64(20) {
		d, dir := mounted(t, 1<<20)
		path := filepath.Join(dir, "f")
		err := errors.Join(put(path, 0, "synced,"), command(dir, []string{"sync", "f"}), put(path, os.O_APPEND, "not synced"))
		if err != nil {
			t.Fatal(err)
		}
		d.Hold()
		d.Lose(rand.New(rand.NewPCG(seed, 0)))
		d.Restore()
		got, err := os.ReadFile(path)
		if err != nil || len(got) < len("synced,") || !strings.HasPrefix("synced,not synced", string(got)) {
			t.Errorf("left %q: %v", got, err)
		}
		lengths[len(got)] = true
	}
	if len(lengths) < 5 {
		t.Errorf("only the lengths %v were left", lengths)
	}
}

func TestFull(t *testing.T) {
	d, dir := mounted(t, 8192)
	path := filepath.Join(dir, "f")
	if err := errors.Join(put(path, 0, strings.Repeat("x", 8192)), command(dir, []string{"sync", "f"})); err != nil {
		t.Fatal(err)
	}
	if err := put(filepath.Join(dir, "g"), 0, "x"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("more than there is room for: %v", err)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil || st.Bavail != 0 || st.Blocks != 2 {
		t.Errorf("%d of %d blocks free: %v", st.Bavail, st.Blocks, err)
	}
	if err := os.Remove(path); err != nil || d.Used() != 8192 {
		t.Errorf("%d bytes used after a removal that is not durable: %v", d.Used(), err)
	}
	if err := command(dir, []string{"sync", "."}); err != nil || d.Used() != 0 {
		t.Errorf("%d bytes used after it is: %v", d.Used(), err)
	}
	if err := put(filepath.Join(dir, "g"), 0, "x"); err != nil {
		t.Error(err)
	}
}

// TestNumbersStay: Knell knows a directory again by the number of its lock file.
func TestNumbersStay(t *testing.T) {
	d, dir := mounted(t, 1<<20)
	path := filepath.Join(dir, "lock")
	if err := errors.Join(put(path, 0, ""), command(dir, []string{"sync", "lock"})); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	d.Hold()
	d.Lose(nil)
	d.Restore()
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("another file: %v", err)
	}
}
