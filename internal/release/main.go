// Command release builds what is published: static programs for Linux and macOS, on amd64 and arm64, a bill of materials (CycloneDX)
// for each, and SHA256SUMS over all of it. Who builds the same tree with the same Go gets the same bytes, wherever that is.
//
//	go run ./internal/release -out dist                      # all of it; the version is that of the tag
//	go run ./internal/release -program knell -version v1.0.0 # one program, for this machine or $GOOS and $GOARCH
package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// platform is what a program runs on.
type platform struct{ os, arch string }

// platforms are those that releases are for.
var platforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}}

const command = "./cmd/knell"

func main() {
	version := flag.String("version", "", "what the program says of itself; default: what git describe says")
	out := flag.String("out", "dist", "directory for everything; it must not be there")
	program := flag.String("program", "", "build this one program only")
	flag.Parse()
	if err := run(*version, *out, *program); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(version, out, program string) error {
	if version == "" {
		described, err := exec.Command("git", "describe", "--tags", "--always", "--dirty").Output()
		if err != nil {
			return fmt.Errorf("git describe: %w; give -version", err)
		}
		version = strings.TrimSpace(string(described))
	}
	if version == "" || strings.ContainsAny(version, " '\"/\\") {
		return fmt.Errorf("-version %q: want something like v1.0.0", version)
	}
	if program != "" {
		return build(".", program, version, here())
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	return all(out, version)
}

// here is the platform of this machine, or the one that the environment asks for.
func here() platform {
	p := platform{os.Getenv("GOOS"), os.Getenv("GOARCH")}
	if p.os == "" {
		p.os = runtime.GOOS
	}
	if p.arch == "" {
		p.arch = runtime.GOARCH
	}
	return p
}

// all builds everything into out.
func all(out, version string) error {
	var sums strings.Builder
	add := func(path string) error {
		data, err := os.ReadFile(path)
		if err == nil {
			fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), filepath.Base(path)) // as sha256sum -c reads it
		}
		return err
	}
	for _, p := range platforms {
		path := filepath.Join(out, fmt.Sprintf("knell_%s_%s_%s", version, p.os, p.arch))
		if err := build(".", path, version, p); err != nil {
			return err
		}
		bill, err := billOf(path, version)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path+".cdx.json", bill, 0o644); err != nil {
			return err
		}
		for _, file := range []string{path, path + ".cdx.json"} {
			if err := add(file); err != nil {
				return err
			}
		}
	}
	if err := os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(sums.String()), 0o644); err != nil {
		return err
	}
	fmt.Print(sums.String())
	return nil
}

// build builds the program from the module in dir. Nothing of the machine gets into it: no paths (-trimpath), no state of the
// checkout (-buildvcs=false; the version is given), no C library, none of the settings that an environment may have.
func build(dir, path, version string, p platform) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	// Without DWARF, a fifth less; with symbols, by which govulncheck finds what is called.
	cmd := goCommand(dir, p, "build", "-trimpath", "-buildvcs=false", "-ldflags", "-w -X main.release="+version, "-o", path, command)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building for %s/%s: %w\n%s", p.os, p.arch, err, text)
	}
	return nil
}

// goCommand returns a command of Go in dir, for p, with settings that are the same everywhere.
func goCommand(dir string, p platform, args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=-mod=readonly",
		"GOEXPERIMENT=", "GOFIPS140=off", "GOWORK=off")
	return cmd
}
