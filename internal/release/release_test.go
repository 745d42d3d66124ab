//go:build release

package main

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReproducible: two checkouts in two directories give the same bytes, for Linux on amd64, and nothing in them says where that was. It
// takes minutes when nothing was built so before, and has a build tag of its own: go test -tags release ./internal/release
func TestReproducible(t *testing.T) {
	version, linux := "v1.2.3-of-the-test", platform{"linux", "amd64"}
	var programs [2][]byte
	var dirs [2]string
	for i := range dirs {
		dirs[i] = filepath.Join(t.TempDir(), strings.Repeat("x", 1+20*i))
		clone := exec.Command("sh", "-c", `mkdir "$1" && git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C "$1"`, "sh", dirs[i])
		clone.Dir = "../.."
		if out, err := clone.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for i, dir := range dirs {
		path := filepath.Join(t.TempDir(), "knell")
		if err := build(dir, path, version, linux); err != nil {
			t.Fatal(err)
		}
		var err error
		if programs[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		checkProgram(t, path, version)
	}
	if !bytes.Equal(programs[0], programs[1]) {
		t.Error("two directories give two programs")
	}
	for _, dir := range dirs {
		if bytes.Contains(programs[0], []byte(dir)) {
			t.Errorf("the program has %s in it", dir)
		}
	}
}

// checkProgram fails the test unless the program is static, has a version, and a bill of materials that names what is in it.
func checkProgram(t *testing.T, path, version string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("%v: it is not static", p.Type)
		}
	}
	if out, err := exec.Command(path, "version").Output(); err != nil || !strings.HasPrefix(string(out), "knell "+version+" ") {
		t.Errorf("knell version: %s, %v", out, err)
	}
	text, err := billOf(path, version)
	if err != nil {
		t.Fatal(err)
	}
	again, err := billOf(path, version)
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("two bills of one program: %v", err)
	}
	var b bill
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range b.Components {
		if c.Version == "" || seen[c.Ref] {
			t.Errorf("component %+v", c)
		}
		seen[c.Ref], seen[c.Name] = true, true
	}
	for _, name := range []string{"std", "github.com/nats-io/nats-server/v2", "golang.org/x/crypto"} {
		if !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
	if seen["github.com/redis/go-redis/v9"] {
		t.Error("what tests alone need is in the bill")
	}
	if main := b.Metadata.Component; main.Version != version || len(main.Hashes) != 1 || !strings.HasPrefix(b.Serial, "urn:uuid:") {
		t.Errorf("it is of %+v, %s", main, b.Serial)
	}
}
