package replica

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
)

// TestHeadroom shows that the collector waits for the garbage that headroom allows for, and that headroom itself is no memory.
func TestHeadroom(t *testing.T) {
	if os.Getenv("GOGC")+os.Getenv("GOMEMLIMIT") != "" {
		t.Skip("the environment says how much garbage there may be")
	}
	before := resident(t)
	if len(headroom()) != headroomBytes {
		t.Fatalf("%d bytes", len(headroom()))
	}
	runtime.GC()
	goal := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(goal)
	if got := goal[0].Value.Uint64(); got < 2*headroomBytes {
		t.Errorf("the collector runs at %d bytes, want at least %d", got, 2*headroomBytes)
	}
	if grown := resident(t) - before; before > 0 && grown > headroomBytes/2 {
		t.Errorf("%d bytes more are resident", grown)
	}
	runtime.KeepAlive(headroom())
}

// TestHeadroomIsNotForced shows that settings of the process come first.
func TestHeadroomIsNotForced(t *testing.T) {
	percent := debug.SetGCPercent(200)
	got := allow()
	debug.SetGCPercent(percent)
	if got != nil {
		t.Error("beside GOGC")
	}
	limit := debug.SetMemoryLimit(1 << 30)
	got = allow()
	debug.SetMemoryLimit(limit)
	if got != nil {
		t.Error("beside GOMEMLIMIT")
	}
}

// resident returns the memory of this process that is in use, in bytes; 0: not known.
func resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
