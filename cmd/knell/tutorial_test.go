package main

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// tutorial runs the shell commands of docs/tutorial.md against three replicas and their balancer, all in one shell. A command that ends
// with "# text" has to print text and nothing else; any other has to succeed.
func tutorial(t *testing.T, bases []string) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip(err)
	}
	doc, err := os.ReadFile("../../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	script, commands := tutorialScript(string(doc))
	if commands < 30 {
		t.Fatalf("only %d commands found", commands)
	}
	for i, base := range bases {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		script = regexp.MustCompile(fmt.Sprintf(`\b808%d\b`, i)).ReplaceAllString(script, u.Port())
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-u")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "ok ") != commands {
		t.Errorf("%v; %d commands:\n%s", err, commands, out)
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
