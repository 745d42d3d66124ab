package main

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestTutorial runs the shell commands of docs/tutorial.md against three replicas, all in one shell. A command that ends with
// "# text" has to print text and nothing else; any other has to succeed.
func TestTutorial(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip(err)
	}
	doc, err := os.ReadFile("../../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	p := launch(t, t.TempDir(), append([]string{"dev"}, anyPorts...)...)
	script, commands := tutorialScript(string(doc))
	if commands < 30 {
		t.Fatalf("only %d commands found", commands)
	}
	for _, c := range []struct{ port, what string }{{"8080", "load balancer"}, {"8081", "replica 1"}, {"8082", "replica 2"}, {"8083", "replica 3"}} {
		fields := strings.Fields(p.await(t, c.what))
		u, err := url.Parse(fields[len(fields)-1])
		if err != nil {
			t.Fatal(err)
		}
		script = regexp.MustCompile(`\b`+c.port+`\b`).ReplaceAllString(script, u.Port())
	}
	p.await(t, "Ctrl-C")

	cmd := exec.CommandContext(t.Context(), "bash", "-u")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "ok ") != commands {
		t.Errorf("%v; %d commands:\n%s", err, commands, out)
	}
	if code, out := p.stop(t, syscall.SIGINT); code != 0 {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

// tutorialScript returns a script of the commands in doc that checks what each of them prints, and their number.
func tutorialScript(doc string) (script string, commands int) {
	var b strings.Builder
	b.WriteString("check() { if [ \"$3\" = \"$2\" ]; then echo \"ok $1\"; else echo \"line $1: got '$3', want '$2'\"; exit 1; fi; }\n")
	expectation := regexp.MustCompile(`^(.*\S)\s+# (.+)$`)
	block := false
	for i, line := range strings.Split(doc, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			block = line == "```sh"
		case !block || strings.HasPrefix(line, "#"):
		default:
			commands++
			if m := expectation.FindStringSubmatch(line); m != nil {
				fmt.Fprintf(&b, "check %d '%s' \"$(%s)\"\n", i+1, m[2], m[1])
			} else {
				fmt.Fprintf(&b, "%s || exit 1; echo ok %d\n", line, i+1)
			}
		}
	}
	return b.String(), commands
}
