package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the scripts in testdata with what the commands really print")

// asMain makes this test binary behave as knell itself.
const asMain = "KNELL_TEST_MAIN"

func TestMain(m *testing.M) {
	hashParams = hashCosts("yes")
	if os.Getenv(asMain) != "" || slices.Contains(os.Args, hashPasswords) {
		main()
	}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "KNELL_") {
			os.Unsetenv(name)
		}
	}
	os.Setenv("NO_COLOR", "1")
	os.Exit(m.Run())
}

// knell returns a command that runs knell with these arguments, in a process of its own.
func knell(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	return cmd
}

// TestScripts runs the command lines of testdata/*.txt and compares exit codes and output. A line "> A=b knell args" runs
// a command; the lines up to the next empty one are what it prints, and "exit N" unless N is 0. A line "| text" before it
// is its standard input. It runs in $DIR, a directory of the script's own
// that holds only the file secret; $BUSY is an address on which somebody listens.
func TestScripts(t *testing.T) {
	provesCommands(t)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(here, "testdata/*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(want))
			if got == string(want) {
				return
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("%s differs from what the commands do (-update rewrites it):\n%s", file, firstDifference(string(want), got))
		})
	}
}

// runScript carries out a script and returns it with the real results.
func runScript(t *testing.T, script string) string {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	names := map[string]string{"$DIR": t.TempDir(), "$BUSY": busy.Addr().String()}
	if err := os.WriteFile(filepath.Join(names["$DIR"], "secret"), []byte("a-secret-of-the-cluster\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	var out strings.Builder
	var input string
	skip := false // the old results of a command
	for line := range strings.Lines(script) {
		switch {
		case strings.HasPrefix(line, "> "):
			out.WriteString(line)
			out.WriteString(runLine(t, strings.TrimSpace(line[2:]), input, names))
			input, skip = "", true
		case strings.TrimSpace(line) == "":
			out.WriteString(line)
			skip = false
		case skip:
		case strings.HasPrefix(line, "| "):
			input += line[2:]
			out.WriteString(line)
		default:
			out.WriteString(line)
		}
	}
	return out.String()
}

// runLine runs one command line and returns what it printed and its exit code.
func runLine(t *testing.T, line, input string, names map[string]string) string {
	t.Helper()
	for name, value := range names {
		line = strings.ReplaceAll(line, name, value)
	}
	fields := strings.Fields(line)
	for len(fields) > 0 && fields[0] != "knell" {
		name, value, _ := strings.Cut(fields[0], "=")
		os.Setenv(name, value)
		defer os.Unsetenv(name)
		fields = fields[1:]
	}
	if len(fields) == 0 {
		t.Fatalf("%q runs nothing", line)
	}
	code, result := once(t, names["$DIR"], input, fields[1:]...)
	for name, value := range names {
		result = strings.ReplaceAll(result, value, name)
	}
	if code != 0 {
		result += fmt.Sprintf("exit %d\n", code)
	}
	return result
}

// firstDifference shows where two texts part.
func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		var a, b string
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return fmt.Sprintf("line %d\nwant: %s\ngot:  %s", i+1, a, b)
		}
	}
	return "none"
}
