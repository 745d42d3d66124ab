package eventstest

import (
	"os"
	"testing"
)

// Dir returns a directory that is removed when the test ends: in memory, where the system has a place for that. A replica in a bubble
// writes its checkpoint every few seconds of the bubble's time and waits for the disk, so that hours of that time are minutes of waiting.
func Dir(t testing.TB) string {
	t.Helper()
	const memory = "/dev/shm"
	dir, err := os.MkdirTemp(memory, "knell-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
