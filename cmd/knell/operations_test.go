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

// TestOperationsPage runs the shell blocks of docs/operations.md in one shell: three replicas, the doctor, a rolling restart with a greater limit of
// the log, and a directory that is replaced.
func TestOperationsPage(t *testing.T) {
	provesPage(t)
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip(err)
	}
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	blocks := 0
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		fmt.Fprintf(&script, "echo '== block %d'\n%s\n", blocks, m[1])
		blocks++
	}
	if blocks < 4 {
		t.Fatalf("only %d blocks found", blocks)
	}
	text := script.String()
	ports, err := natsd.LoopbackRoutes(6)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		for from, to := range map[string]string{fmt.Sprint("127.0.0.1:622", i+1): ports[i], fmt.Sprint("127.0.0.1:909", i+1): ports[3+i]} {
			text = strings.ReplaceAll(text, from, to)
		}
	}
	text = strings.ReplaceAll(text, "127.0.0.1:622$i", "$(port $i 0)")
	text = strings.ReplaceAll(text, "127.0.0.1:909$i", "$(port $i 3)")
	text = strings.ReplaceAll(text, "127.0.0.1:909$1", "$(port $1 3)")
	prelude := fmt.Sprintf("set -eu\nports=(%s)\nport() { echo \"${ports[$1 - 1 + $2]}\"; }\ntrap 'kill -KILL $(cat r?.pid) 2>/dev/null || true' EXIT\n",
		strings.Join(ports, " "))
	dir := t.TempDir()
	program := fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", asMain, os.Args[0])
	if err := os.WriteFile(filepath.Join(dir, "knell"), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", prelude+text+"\nfor i in 1 2 3; do stop $i; done\n")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "KNELL_LOG_MAX_BYTES=64MiB", "KNELL_DRAIN=0s")
	out, err := cmd.CombinedOutput()
	if err != nil {
		logs, _ := os.ReadFile(filepath.Join(dir, "r2.log"))
		t.Fatalf("%v:\n%s\n%s", err, out, logs)
	}
	for _, want := range []string{
		"r1 is connected to all 2 other servers of the log", "clock        r2 agrees with this machine", "versions     ",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if log, err := os.ReadFile(filepath.Join(dir, "r3.log")); err != nil || strings.Contains(string(log), "not raised") {
		t.Errorf("the last one to get the greater limit did not raise it: %v, %s", err, log)
	}
	if _, err := os.Stat(filepath.Join(dir, "data-r2.damaged")); err != nil {
		t.Error(err)
	}
}
