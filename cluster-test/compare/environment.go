package compare

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/knell-auth/knell/cluster-test/redisd"
)

// Environment is where the measurements were made.
type Environment struct {
	Time       time.Time
	CPU        string
	Processors int
	Load       string // load averages before the first measurement, "" when they are not known
	OS         string
	Go         string
	Redis      string // "": none
	Client     string // version of the Redis client
	Commit     string // "" when the build does not know
}

func environment(ctx context.Context) Environment {
	e := Environment{
		Time: time.Now().UTC().Truncate(time.Second), Processors: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), Redis: redisd.Version(ctx), CPU: processor(), Load: load(),
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return e
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/redis/go-redis/v9" {
			e.Client = m.Version
		}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			e.Commit = s.Value
		}
	}
	return e
}

// processor returns the name of the processor, "" when /proc does not tell.
func processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(data)); err == nil && len(fields) > 2 {
		return strings.Join(fields[:3], " ")
	}
	return ""
}

// String is one line.
func (e Environment) String() string {
	parts := []string{e.Time.Format(time.DateOnly), fmt.Sprintf("%d x %s", e.Processors, or(e.CPU, "processor")), e.OS, e.Go}
	if e.Redis != "" {
		parts = append(parts, "Redis "+e.Redis+" (AOF, everysec)")
	}
	if e.Client != "" {
		parts = append(parts, "go-redis "+e.Client)
	}
	if e.Load != "" {
		parts = append(parts, "load before "+e.Load)
	}
	if e.Commit != "" {
		parts = append(parts, "commit "+e.Commit[:min(12, len(e.Commit))])
	}
	return strings.Join(parts, ", ") + "."
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
