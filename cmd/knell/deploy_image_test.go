package main

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// stage is one FROM of a Dockerfile with what follows it.
type stage struct {
	name, from string
	lines      []string // instructions in one piece, without comments
}

// stages returns those of a Dockerfile, in order.
func stages(t *testing.T, name string) (all []stage) {
	t.Helper()
	text := strings.ReplaceAll(deployed(t, name), "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		words := strings.Fields(line)
		switch {
		case line == "" || line[0] == '#':
		case words[0] == "FROM":
			s := stage{from: words[1]}
			if len(words) == 4 {
				s.name = words[3]
			}
			all = append(all, s)
		case len(all) == 0:
			t.Fatalf("%s: %s before FROM", name, line)
		default:
			all[len(all)-1].lines = append(all[len(all)-1].lines, line)
		}
	}
	return all
}

// ends is the stage that is the image; the test fails when another one is no part of it. Docker's classic builder would run that too.
func ends(t *testing.T, name string) stage {
	t.Helper()
	all := stages(t, name)
	for i, s := range all[:len(all)-1] {
		if !slices.ContainsFunc(all[i+1:], func(later stage) bool {
			return later.from == s.name || slices.ContainsFunc(later.lines, func(l string) bool { return strings.Contains(l, " --from="+s.name+" ") })
		}) {
			t.Errorf("%s: nothing uses the stage %q", name, s.name)
		}
	}
	return all[len(all)-1]
}

var copied = regexp.MustCompile(`^COPY (?:--from=\S+ )?(--chown=\S+ )?.*?([^/ ]+) (/\S+)$`)

// TestImages: both Dockerfiles make the same image.
func TestImages(t *testing.T) {
	alike := func(name string) (lines []string) {
		for _, l := range ends(t, name).lines {
			lines = append(lines, copied.ReplaceAllString(l, "COPY $1$2 $3"))
		}
		return lines
	}
	source, prebuilt := alike("Dockerfile"), alike("deploy/Dockerfile.prebuilt")
	if !slices.Equal(source, prebuilt) || len(source) < 10 {
		t.Errorf("from source:\n%s\nprebuilt:\n%s", strings.Join(source, "\n"), strings.Join(prebuilt, "\n"))
	}
	if script := deployed(t, "deploy/image"); !strings.Contains(script, `/Dockerfile.prebuilt" "$context"`) {
		t.Error("deploy/image builds something else")
	}
}

// TestBuildContext: the Dockerfile that Compose builds copies from its context what is in the repository, and let through.
func TestBuildContext(t *testing.T) {
	ignored := deployed(t, ".dockerignore")
	contains := func(name string) bool { return strings.Contains(ignored, "\n!"+name+"\n") }
	for _, s := range stages(t, "Dockerfile") {
		for _, l := range s.lines {
			words := strings.Fields(l)
			if words[0] != "ADD" && words[0] != "COPY" || strings.Contains(l, " --from=") {
				continue
			}
			for _, source := range words[1 : len(words)-1] {
				if strings.HasPrefix(source, "--") {
					continue
				}
				if deployedPath(t, source); source != "." && !contains(source) {
					t.Errorf("%s: .dockerignore keeps %s away", l, source)
				}
			}
		}
	}
	directories, err := filepath.Glob("../../*/*.go") // of packages, or of their parents: cmd and internal have none themselves
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(directories, "../../cmd/knell", "../../internal/release") {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
		if top := strings.Split(path.Clean(filepath.ToSlash(f)), "/")[2]; !contains(top) {
			t.Errorf(".dockerignore keeps %s away, which has packages", top)
		}
	}
}
