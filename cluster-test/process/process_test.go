package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func shell(t *testing.T, script string) Command {
	return Command{
		Path: "/bin/sh", Args: []string{"-c", script}, Log: filepath.Join(t.TempDir(), "log"),
		Ready: func(line string) bool { return line == "ready" },
	}
}

func TestStartWaitsUntilReady(t *testing.T) {
	c := shell(t, `read word; echo "got $word"; echo ready; echo trouble >&2; read more; echo more >> said`)
	c.Input, c.Dir = []byte("hello\n"), t.TempDir()
	p, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.Signal(0)); err != nil || p.PID() <= 0 {
		t.Errorf("process %d: %v", p.PID(), err)
	}
	p.Kill()
	p.Kill()
	if _, err := os.Stat(filepath.Join(c.Dir, "said")); err == nil {
		t.Error("standard input ended before the process")
	}
	log, err := os.ReadFile(c.Log)
	if err != nil || !strings.Contains(string(log), "got hello\n") {
		t.Errorf("log %q, %v", log, err)
	}
}

func TestStartTellsWhyItFailed(t *testing.T) {
	_, err := Start(t.Context(), shell(t, "echo the disk is on fire; exit 3"))
	if !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "on fire") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, shell(t, "exec sleep 60")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	c := shell(t, "")
	c.Path = "/nonexistent"
	if _, err := Start(t.Context(), c); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestCPU(t *testing.T) {
	if runtime.GOOS != "linux" {
		if _, err := CPU(os.Getpid()); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("error %v", err)
		}
		t.Skip("the processor time of other processes is known on Linux only")
	}
	// A child that has worked, and waits.
	c := shell(t, `i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo ready; read more`)
	p, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	used, err := CPU(p.PID())
	if err != nil || used <= 0 {
		t.Errorf("used %v, %v", used, err)
	}
	p.Kill()
	if _, err := CPU(p.PID()); err == nil {
		t.Error("a process that is gone uses processor time")
	}
}
