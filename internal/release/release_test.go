//go:build release

package main

import (
	"bytes"
	"debug/elf"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReproducible: two checkouts in two directories give the same bytes, for Linux on amd64, and nothing in them says where that was. What the
// builds share is the build cache, for the standard library and for other modules, which lie where they lie for both. The packages of this
// module are compiled anew for the second, in its directory, and both programs are linked: forget sees to it. It has a build tag of its own, because it takes
// minutes when nothing was built so before: go test -tags release ./internal/release
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
		if i > 0 {
			forget(t, dir, linux)
		}
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

// forget takes the compiled packages of the module in dir, and no others, out of the build cache. With -trimpath the directory is no part of
// the names of its entries, so that a build would be given what was compiled in another directory, and prove nothing.
func forget(t *testing.T, dir string, p platform) {
	t.Helper()
	const format = `{{with .Module}}{{if .Main}}{{$.BuildID}}{{end}}{{end}}`
	list := goCommand(dir, p, "list", "-trimpath", "-buildvcs=false", "-deps", "-export", "-f", format, command)
	ids, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	cache, err := goCommand(dir, p, "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(ids))
	if len(packages) < 20 {
		t.Fatalf("the module has only %d packages", len(packages))
	}
	for _, id := range packages {
		action, _, _ := strings.Cut(id, "/") // the beginning of the hash that names the entry
		begin, err := base64.RawURLEncoding.DecodeString(action)
		if err != nil || len(begin) == 0 {
			t.Fatalf("build ID %s: %v", id, err)
		}
		entries, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(cache)), fmt.Sprintf("%x", begin[:1]), fmt.Sprintf("%x*-a", begin)))
		if err != nil || len(entries) != 1 {
			t.Fatalf("%d entries of the build cache for %s, want one: %v", len(entries), id, err)
		}
		if err := os.Remove(entries[0]); err != nil {
			t.Fatal(err)
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
