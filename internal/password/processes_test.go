package password

import (
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What the test program is, by its first argument, when Processes start it.
const (
	asServer = "password-test-serve" // not idle: other tests may take all processors
	asIdle   = "password-test-idle"
	asStone  = "password-test-stone" // takes questions and says nothing
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case asServer:
			if err := serve(os.Stdin, os.Stdout); err != nil {
				os.Exit(1)
			}
			return
		case asIdle:
			if err := becomeIdle(); err != nil {
				os.Exit(1)
			}
			_, _ = os.Stdout.WriteString("idle")
			_, _ = io.Copy(io.Discard, os.Stdin)
			return
		case asStone:
			_, _ = io.Copy(io.Discard, os.Stdin)
			return
		}
	}
	os.Exit(m.Run())
}

// elsewhere returns Processes that are this program, which is closed at the end of the test, and what went wrong with them.
func elsewhere(t *testing.T, as string) (*Processes, *[]error) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var failed []error
	p := NewProcesses(self, []string{as}, func(err error) { failed = append(failed, err) })
	p.patient = time.Minute
	t.Cleanup(p.Close)
	return p, &failed
}

// pids returns the processes that have nothing to do.
func (p *Processes) pids() (out []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.free {
		out = append(out, c.cmd.Process.Pid)
	}
	return out
}

// Another process gives the same answers as this one, for each kind of hash, and says what is wrong in the same way.
func TestElsewhere(t *testing.T) {
	p, failed := elsewhere(t, asServer)
	here, there := New(Config{Params: cheap}), New(Config{Params: cheap, Elsewhere: p})
	own, err := there.Hash(t.Context(), "U*U")
	if err != nil {
		t.Fatal(err)
	}
	yes, no := 0, 0
	for _, encoded := range []string{own, goodBcrypt, phcKDF, django, argon2id("m=256,t=2,p=1"), "$2b$05$nothing"} {
		for _, password := range []string{"U*U", "password", "", "U*U\x00", strings.Repeat("x", MaxBytes+1)} {
			want, wantErr := here.Verify(t.Context(), encoded, password)
			got, err := there.Verify(t.Context(), encoded, password)
			if got != want || (err == nil) != (wantErr == nil) {
				t.Errorf("%s, %q: %+v, %v; here %+v, %v", encoded, password, got, err, want, wantErr)
			}
			if got.OK {
				yes++
			} else {
				no++
			}
		}
	}
	if yes < 2 || no < 2 || len(*failed) > 0 || len(p.pids()) != 1 {
		t.Errorf("%d right, %d wrong, %d processes, %v", yes, no, len(p.pids()), *failed)
	}
}

// All threads of a process that is to answer run only when nothing else does, and those of this one as ever.
func TestBecomeIdle(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c, err := start(self, []string{asIdle})
	if err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(io.LimitReader(c.out, 4)); string(said) != "idle" {
		t.Fatalf("%q, %v", said, err)
	}
	for pid, want := range map[int]bool{c.cmd.Process.Pid: true, os.Getpid(): false} {
		for i, idle := range idleThreads(t, pid) {
			if idle != want {
				t.Errorf("thread %d of process %d: %v", i, pid, idle)
			}
		}
	}
	new(Processes).kill(c)
}

// The hash that a killed process owed is computed, and the process is replaced.
func TestProcessEnds(t *testing.T) {
	p, failed := elsewhere(t, asServer)
	p.pause = 0
	h := New(Config{Params: cheap, Elsewhere: p})
	encoded, err := h.Hash(t.Context(), "password")
	if err != nil {
		t.Fatal(err)
	}
	first := p.pids()
	if err := syscall.Kill(first[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if r, err := h.Verify(t.Context(), encoded, "password"); !r.OK || err != nil {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if now := p.pids(); len(now) != 1 || now[0] == first[0] || len(*failed) != 1 {
		t.Errorf("processes %v, then %v; %v", first, now, *failed)
	}
	p.Close()
	if r, err := h.Verify(t.Context(), encoded, "password"); !r.OK || err != nil || len(p.pids()) != 0 {
		t.Errorf("after the end: %+v, %v", r, err)
	}
}

// Where there is no process, or none that answers, the caller computes, and the next ones do not wait for another.
func TestNoProcess(t *testing.T) {
	for _, as := range []string{"", asStone} {
		p, failed := elsewhere(t, as)
		if as == "" {
			p.path = "/nowhere"
		}
		p.patient = 50 * time.Millisecond
		h := New(Config{Params: cheap, Elsewhere: p})
		encoded, err := h.Hash(t.Context(), "password")
		if err != nil {
			t.Fatal(err)
		}
		if r, err := h.Verify(t.Context(), encoded, "password"); !r.OK || err != nil || len(*failed) != 1 {
			t.Errorf("%q: %+v, %v; %v", as, r, err, *failed)
		}
	}
}
