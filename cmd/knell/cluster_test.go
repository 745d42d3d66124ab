package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/knell-auth/knell/internal/natsd"
)

// TestClusterDoc runs the shell commands of docs/cluster.md in one shell: a cluster with identities, whose certificates, authority and
// secrets are replaced while it runs.
func TestClusterDoc(t *testing.T) {
	provesPage(t)
	doc, err := os.ReadFile("../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	script, commands := tutorialScript(string(doc))
	if commands < 20 {
		t.Fatalf("only %d commands found", commands)
	}
	addrs, err := natsd.LoopbackRoutes(10)
	if err != nil {
		t.Fatal(err)
	}
	// 622$1 and its like are ports that end in the number of the replica: here they are looked up.
	for i, prefix := range []string{"622", "742", "909"} {
		for r := range 3 {
			free := addrs[3*i+r]
			script = regexp.MustCompile(`127\.0\.0\.1:`+fmt.Sprint(prefix, r+1)+`\b`).ReplaceAllString(script, free)
			script = fmt.Sprintf("at%s%d=%s\n", prefix, r+1, free) + script
		}
		script = strings.ReplaceAll(script, "127.0.0.1:"+prefix+"$1", `$(eval echo \$at`+prefix+"$1)")
	}
	script = strings.ReplaceAll(script, "127.0.0.1:9094", addrs[9])

	dir := t.TempDir()
	self := knell(t)
	wrapper := fmt.Sprintf("#!/bin/sh\n%s=1 exec %q \"$@\"\n", asMain, self.Path)
	if err := os.WriteFile(filepath.Join(dir, "knell"), []byte(wrapper), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-u")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader("trap 'kill $(jobs -p) 2> /dev/null' EXIT\n"+script)
	cmd.Env = append(self.Env, "PATH="+dir+":"+os.Getenv("PATH"), "KNELL_LOG_LEVEL=warn", "KNELL_DRAIN=0")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "ok ") != commands {
		t.Errorf("%v; %d commands:\n%s", err, commands, out)
	}
	for _, bad := range []string{"fenced", "not good", "ends soon"} {
		if strings.Contains(string(out), bad) {
			t.Errorf("%q is in the log:\n%s", bad, out)
		}
	}
}
