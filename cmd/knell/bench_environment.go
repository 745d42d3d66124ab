package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/knell-auth/knell/cluster-test/load"
)

// environment says under which circumstances a run took place: whatever somebody must know to repeat it.
func (c *benchCmd) environment(p *benchPlan) []load.Fact {
	facts := []load.Fact{
		{Name: "knell", Value: version()},
		{Name: "commit", Value: commit()},
		{Name: "go", Value: runtime.Version()},
		{Name: "system", Value: system()},
		{Name: "processor", Value: fmt.Sprintf("%s, %d cores", processor(), runtime.NumCPU())},
	}
	if len(c.Issuer.Targets) > 0 {
		facts = append(facts,
			load.Fact{Name: "tested", Value: strings.Join(c.Issuer.Targets, ", ")},
			load.Fact{Name: "lease, copies, sync", Value: "not to be seen from outside"})
	} else {
		facts = append(facts,
			load.Fact{Name: "tested", Value: fmt.Sprintf("%d processes of knell on the load tester's own machine", c.Own.replicas())},
			load.Fact{Name: "lease", Value: c.Own.lease().String()},
			load.Fact{Name: "copies of the log", Value: "3"},
			load.Fact{Name: "sync", Value: "before each acknowledgement"})
	}
	m := p.cfg.Mix
	facts = append(facts,
		load.Fact{Name: "load", Value: fmt.Sprintf("login %g/s, verify %g/s, refresh %g/s, logout %g/s, %s arrivals", m.Login, m.Verify, m.Refresh, m.Logout, c.Load.Arrivals)},
		load.Fact{Name: "duration", Value: fmt.Sprintf("%v after a warm-up of %v", c.Load.For, c.Load.Warmup)},
		load.Fact{Name: "seed", Value: fmt.Sprint(c.Load.Seed)})
	if f := c.planned(); f != "" {
		facts = append(facts, load.Fact{Name: "faults", Value: f})
	}
	return facts
}

// planned says what faults were asked for.
func (c *benchCmd) planned() string {
	all := append([]string(nil), c.Own.Faults...)
	if c.Own.FaultEvery > 0 {
		all = append(all, fmt.Sprintf("%s every %v", strings.Join(c.Own.FaultKinds, " or "), c.Own.FaultEvery))
	}
	return strings.Join(all, ", ")
}

// commit returns the commit that this program was built from.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, changed := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ", with changes"
		}
	}
	return revision + changed
}

// system names the operating system and its kernel.
func system() string {
	name := runtime.GOOS + "/" + runtime.GOARCH
	if data, err := os.ReadFile("/etc/os-release"); err == nil {
		for line := range strings.Lines(string(data)) {
			if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
				name = strings.Trim(strings.TrimSpace(v), `"`) + ", " + name
			}
		}
	}
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return name
	}
	return fmt.Sprintf("%s, kernel %s %s", name, unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Release[:]))
}

// processor names the processor, as far as Linux tells.
func processor() string {
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if v, ok := strings.CutPrefix(line, "model name"); ok {
				return strings.TrimSpace(strings.TrimLeft(v, "\t :"))
			}
		}
	}
	return runtime.GOARCH
}
