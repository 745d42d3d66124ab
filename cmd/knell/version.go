package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

type versionCmd struct{}

// Run prints one line.
func (versionCmd) Run(t *terminal) error {
	_, err := fmt.Fprintf(t.out, "knell %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// versionFlag is --version, wherever it stands.
type versionFlag bool

// BeforeReset implements the hook of kong that runs before anything is checked.
func (versionFlag) BeforeReset(app *kong.Kong, t *terminal) error {
	err := versionCmd{}.Run(t)
	app.Exit(conclude(t, err))
	return err
}

// release is the version of a published program, which the linker sets (internal/release).
var release string

// version returns the release, or what the Go tool recorded about this build: a module version, or the commit with "+dirty" when the tree
// had changes, or "devel".
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	commit, dirty := "devel", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			commit = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	return commit + dirty
}
