package natsd

import (
	"errors"
	"io/fs"
	"testing"
)

// Whose a directory is and whether a server holds it can be asked for without a server.
func TestOwner(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadOwner(dir); !errors.Is(err, fs.ErrNotExist) || InUse(dir) || HasLog(dir) {
		t.Errorf("an empty directory: %v, in use %v, log %v", err, InUse(dir), HasLog(dir))
	}
	s := startTest(t, Config{Dir: dir, Name: "a"})
	if o, err := ReadOwner(dir); err != nil || o.Server != "a" || !o.Standalone || o.Start == "" {
		t.Errorf("owner %+v, %v", o, err)
	}
	if connected, others := s.Peers(); connected != 0 || others != 0 {
		t.Errorf("%d of %d peers, want none", connected, others)
	}
	if !InUse(dir) {
		t.Error("not in use while a server runs")
	}
	if _, err := Start(testContext(t), Config{Dir: dir, Name: "a"}); !errors.Is(err, ErrInUse) {
		t.Errorf("second server: %v", err)
	}
	s.Kill()
	if InUse(dir) {
		t.Error("in use after the server has ended")
	}
}
