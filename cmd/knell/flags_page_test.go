package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// flagsPage is written from the command line's own description.
const flagsPage = "../../docs/flags.md"

// TestFlagsPage: docs/flags.md has every flag of serve and every command, as they are. With -update it is written anew.
func TestFlagsPage(t *testing.T) {
	parser, err := newParser(&cli{}, &terminal{in: os.Stdin, out: &bytes.Buffer{}, err: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# Flags and commands\n\nWritten by `go test ./cmd/knell -run TestFlagsPage -update` from what `knell --help` says. A flag wins over its " +
		"environment variable.\n\n## Flags of knell serve\n")
	for _, c := range parser.Model.Children {
		if c.Name == "serve" {
			writeFlags(&b, c.Flags)
		}
	}
	b.WriteString("\n## Commands\n\n`knell COMMAND --help` has the flags of each.\n\n| command | what it does |\n|---|---|\n")
	for _, c := range parser.Model.Leaves(true) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", cell(c.FullPath()), cell(c.Help))
	}
	if *update {
		if err := os.WriteFile(flagsPage, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(flagsPage)
	if err != nil || string(page) != b.String() {
		t.Errorf("%s is not what the commands are now (%v): go test ./cmd/knell -run TestFlagsPage -update", flagsPage, err)
	}
	if !strings.Contains(b.String(), "`KNELL_LISTEN`") || strings.Contains(b.String(), hashPasswords) {
		t.Error("flags are missing, or there are hidden commands")
	}
	operations, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range parser.Model.Children {
		for _, f := range c.Flags {
			if c.Name == "serve" && strings.HasSuffix(f.Name, "listen") && !strings.Contains(string(operations), "| `--"+f.Name+"` |") {
				t.Errorf("the table of ports in docs/operations.md lacks --%s", f.Name)
			}
		}
	}
}

// writeFlags writes a table for each group of flags.
func writeFlags(b *strings.Builder, flags []*kong.Flag) {
	group := ""
	for _, f := range flags {
		title := "This replica"
		if f.Group != nil {
			title = strings.TrimSuffix(f.Group.Title, ":")
		}
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			continue
		}
		if title != group {
			group = title
			fmt.Fprintf(b, "\n### %s\n\n| flag | environment | default | what it says |\n|---|---|---|---|\n", title)
		}
		preset := cmp.Or(f.Default, "-")
		if f.IsBool() {
			preset = "off"
		}
		fmt.Fprintf(b, "| `--%s` | `%s` | `%s` | %s |\n", f.Name, strings.Join(f.Envs, "`, `"), cell(preset), cell(f.Help))
	}
}

// cell returns text as a cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
