package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/knell-auth/knell/cluster-test/process"
	"github.com/knell-auth/knell/cluster-test/redisd"
)

// everyCPU is the processor of a service that may have them all.
const everyCPU = -1

// fleet is the services of a run.
type fleet struct {
	ctx      context.Context // ends the starts
	dir      string
	cpu      int
	store    *redisd.Server // nil: none
	children []*process.Process
}

func (f *fleet) close() {
	for _, c := range f.children {
		c.Kill()
	}
	if f.store != nil {
		f.store.Kill()
	}
}

// server is a service that runs: where it is, and the processes whose time it takes.
type server struct {
	addr string
	pids []int
}

// startRedis starts the store.
func (f *fleet) startRedis() (err error) {
	dir := filepath.Join(f.dir, "redis")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if f.store, err = redisd.New(f.ctx, dir); err != nil {
		return err
	}
	return bindProcess(f.store.PID(), f.cpu)
}

// start starts a service on the fleet's processor, or on all.
func (f *fleet) start(s service, cpu int) (server, error) {
	ctx, cancel := context.WithTimeout(f.ctx, startTimeout+stopTimeout)
	defer cancel()
	input, err := json.Marshal(s)
	if err != nil {
		return server{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return server{}, err
	}
	var line string
	c := process.Command{
		Path: self, Args: []string{serveCommand}, Dir: f.dir, Log: filepath.Join(f.dir, "services.log"), Input: append(input, '\n'),
		Ready: func(l string) bool { line = l; return true },
	}
	if cpu != everyCPU {
		// Not after the start: Go's runtime looks once at how many processors there are.
		if c.Path, err = exec.LookPath("taskset"); err != nil {
			return server{}, err
		}
		c.Args = []string{"-c", strconv.Itoa(cpu), self, serveCommand}
	}
	p, err := process.Start(ctx, c)
	if err != nil {
		return server{}, fmt.Errorf("%s: %w", s.Kind, err)
	}
	f.children = append(f.children, p)
	out := server{line, []int{p.PID()}}
	if s.Redis != "" {
		out.pids = append(out.pids, f.store.PID())
	}
	return out, nil
}

// startReplica starts a replica with its accounts and sessions.
func (f *fleet) startReplica(s service, cpu int) (server, *facts, error) {
	s.Kind = "knell"
	var err error
	if s.Dir, err = os.MkdirTemp(f.dir, "knell-"); err != nil {
		return server{}, nil, err
	}
	out, err := f.start(s, cpu)
	if err != nil {
		return out, nil, err
	}
	known, err := readFacts(filepath.Join(s.Dir, factsFile))
	return out, known, err
}

// usedBy returns the processor time that processes have used.
func usedBy(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		used, err := process.CPU(pid)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}
