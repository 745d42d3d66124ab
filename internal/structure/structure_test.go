package structure

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

var rules = []struct {
	name  string
	check func(*tree) []finding
}{
	{"arrows", checkArrows},
	{"sizes", checkSizes},
	{"generated", checkGenerated},
	{"packages", checkPackages},
	{"comments", checkComments},
	{"sleeps", checkSleeps},
	{"dependencies", checkDependencies},
}

func TestRepository(t *testing.T) {
	repo, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(repo.files) == 0 || repo.module == "" {
		t.Fatal("nothing read")
	}
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			for _, f := range rule.check(repo) {
				t.Error(f)
			}
		})
	}
}

// lines returns n lines.
func lines(n int) string { return strings.Repeat("\n", n) }

// clean breaks no rule.
var clean = map[string]string{
	"go.mod": "module example.org/m\n\nrequire github.com/nats-io/nats.go v1.0.0\n" +
		"require (\n\tgithub.com/nats-io/nats-server/v2 v2.0.0\n\tother.example/x v1.0.0 // indirect\n)\n",
	"docs/dependencies.md": "| `github.com/nats-io/nats.go` |\n| [x](https://pkg.go.dev/github.com/nats-io/nats-server/v2) |\n",
	"events/doc.go":        "// Package events is.\npackage events\n",
	"events/log.go":        "package events\n\nimport \"github.com/nats-io/nats.go\"\n\n// JetStream is.\ntype JetStream struct{ c *nats.Conn }\n",
	"events/word.go":       "package events\n\n// Event is.\ntype Event struct{}\n\n// Kinds.\nconst (\n\tA = 1\n\tB = 2\n)\n",
	"events/log_test.go":   "package events_test\n\nimport (\n\t_ \"example.org/m/events\"\n\t_ \"example.org/m/internal/natsd\"\n\t_ \"github.com/nats-io/nats-server/v2/server\"\n)\n",
	"internal/natsd/n.go":  "// Package natsd is.\npackage natsd\n\nimport _ \"github.com/nats-io/nats-server/v2/server\"\n",
	"internal/fence/f.go":  "// Package fence is.\npackage fence\n\ntype t struct{}\n\nfunc (t) String() string { return \"\" }\n" + lines(maxFileLines-6),
	"internal/fence/f_test.go": "package fence\n\nimport (\n\t\"testing/synctest\"\n\t\"time\"\n)\n\nvar _ = synctest.Wait\n" +
		"\nfunc f() { time.Sleep(1) }\n",
	"node/node.go":              "// Package node is.\npackage node\n\nimport (\n\t_ \"example.org/m/events\"\n\t_ \"example.org/m/internal/fence\"\n)\n",
	"httpapi/h.go":              "// Package httpapi is.\npackage httpapi\n\nimport \"example.org/m/events\"\n\nvar e events.Event\n",
	"cmd/knell/main.go":         "// Knell is.\npackage main\n\nimport (\n\t_ \"example.org/m/httpapi\"\n\t_ \"example.org/m/internal/natsd\"\n)\n",
	"cluster-test/run_test.go":  "// Package clustertest is.\npackage clustertest\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n",
	"node/testdata/bad.go":      "not Go",
	"peers/go.mod":              "module peers\n",
	"peers/util.go":             "package util\n",
	".hidden/util.go":           "package util\n",
	"internal/token/token.go":   "// Package token is.\npackage token\n\nfunc f() {" + lines(maxFuncLines-1) + "}\n",
	"internal/token/b_on.go":    "//go:build b\n\npackage token\n\nvar x = struct{ " + strings.Repeat("_, ", maxStructFields-1) + "_ int }{}\n",
	"internal/revoke/r_test.go": "// Package revoke is.\npackage revoke\n",
}

// Each breach is one file put over the clean repository, and the findings that it must lead to.
var breaches = []struct{ path, source, want string }{
	{"internal/fence/x.go", "package fence\n\nimport _ \"example.org/m/events\"\n", "internal/fence/x.go:3: imports example.org/m/events: against the arrows"},
	{"internal/fence/x_test.go", "package fence\n\nimport _ \"example.org/m/events\"\n", "internal/fence/x_test.go:3: imports example.org/m/events: against the arrows"},
	{"events/x.go", "package events\n\nimport _ \"example.org/m/node\"\n", "events/x.go:3: imports example.org/m/node: against the arrows"},
	{"events/x_test.go", "package events\n\nimport _ \"example.org/m/node\"\n", "events/x_test.go:3: imports example.org/m/node: against the arrows"},
	{"node/x.go", "package node\n\nimport (\n\t_ \"example.org/m/httpapi\"\n)\n", "node/x.go:4: imports example.org/m/httpapi: against the arrows"},
	{"node/x.go", "package node\n\nimport _ \"github.com/nats-io/nats.go\"\n", "node/x.go:3: imports github.com/nats-io/nats.go: node reaches NATS through events only"},
	{"node/x.go", "package node\n\nimport _ \"example.org/m/internal/natsd\"\n", "node/x.go:3: imports example.org/m/internal/natsd: only the packages that wire a replica start a server"},
	{"node/x_test.go", "package node\n\nimport _ \"example.org/m/internal/natsd\"\n", ""},
	{"httpapi/x.go", "package httpapi\n\nimport _ \"example.org/m/internal/fence\"\n", "httpapi/x.go:3: imports example.org/m/internal/fence: against the arrows"},
	{"httpapi/x.go", "package httpapi\n\nimport e \"example.org/m/events\"\n\nvar x *e.JetStream\n", "httpapi/x.go:5: events.JetStream talks to NATS: go through node"},
	{"cmd/knell/x.go", "package main\n\nimport _ \"github.com/nats-io/nats-server/v2/server\"\n", "cmd/knell/x.go:3: imports github.com/nats-io/nats-server/v2/server: only internal/natsd and tests use the server"},
	{"cmd/knell/x.go", "package main\n\nimport _ \"example.org/m/cluster-test/check\"\n", "cmd/knell/x.go:3: imports example.org/m/cluster-test/check: against the arrows"},
	{"internal/new/x.go", "// Package new is.\npackage new\n", "internal/new/x.go:2: internal/new has no place among the arrows; give it one in internal/structure"},

	{"node/x.go", "package node\n" + lines(maxFileLines), "node/x.go:401: file of 401 lines, at most 400"},
	{"node/x_test.go", "package node\n\nfunc f() {" + lines(maxFuncLines) + "}\n", "node/x_test.go:3: function f of 71 lines, at most 70"},
	{"node/x.go", "package node\n\nvar _ = []struct {\n" + strings.Repeat("\ta, b, c int\n", 6) + "\tx, y int\n\tt\n}{}\n", "node/x.go:3: struct of 21 fields, at most 20"},
	{"node/x.go", "// Code generated by x. DO NOT EDIT.\n\npackage node\n", "node/x.go:1: generated file"},

	{"cluster-test/util/x.go", "// Package util is.\npackage util\n", "cluster-test/util/x.go:2: package named util: name what it owns"},
	{"cluster-test/helpers/x.go", "// Package x is.\npackage x\n", "cluster-test/helpers/x.go:2: package named helpers: name what it owns"},
	{"node/x.go", "// Package node is.\npackage node\n", "node/x.go:1: second package comment"},
	{"node/node.go", "package node\n", "node/node.go:1: package node has no package comment"},
	{"node/node.go", "//go:build linux\n\npackage node\n", "node/node.go:3: package node has no package comment"},
	{"node/node.go", "// Copyright\npackage node\n", "node/node.go:1: package comment does not begin with Package node"},
	{"cmd/knell/main.go", "package main\n", "cmd/knell/main.go:1: package main has no package comment"},

	{"node/x.go", "package node\n\ntype T[P any] struct{}\n\n//go:noinline\nfunc (t *T[P]) Do() {}\n",
		"node/x.go:3: T has no doc comment\nnode/x.go:6: Do has no doc comment"},
	{"node/x.go", "package node\n\n// T is.\ntype T int\n\n// A is.\nfunc (T) A() {}\nfunc (*T) A() {}\nfunc (t *T) A() {}\n\nfunc (t T) A() {}\nfunc (T) B() {}\n",
		"node/x.go:11: A has no doc comment\nnode/x.go:12: B has no doc comment"},
	{"node/x.go", "package node\n\nconst (\n\tA = 1 // said\n\tB = 2\n)\n\nvar C, d = 1, 2\n", "node/x.go:5: B has no doc comment\nnode/x.go:8: C has no doc comment"},
	{"node/x.go", "package node\n\n// Some.\ntype (\n\tA int\n\tb int\n)\n", "node/x.go:5: A has no doc comment"},

	{"node/x_test.go", "package node\n\nimport clock \"time\"\n\nvar wait = clock.Sleep\n", "node/x_test.go:5: time.Sleep in a test without synctest"},

	{"docs/dependencies.md", "github.com/nats-io/nats-server/v2.", "go.mod:3: github.com/nats-io/nats.go is not named in docs/dependencies.md"},
	{"internal/fence/x.go", "package fence\n\nimport _ \"other.example/x/y\"\n",
		"go.mod:6: other.example/x is imported but marked as indirect\ngo.mod:6: other.example/x is not named in docs/dependencies.md"},
}

// The rules find what they are meant to find, and nothing in a repository that keeps to them.
func TestRules(t *testing.T) {
	check := func(path, source, want string) {
		t.Helper()
		fsys := fstest.MapFS{}
		sources := maps.Clone(clean)
		sources[path] = source
		for name, src := range sources {
			fsys[name] = &fstest.MapFile{Data: []byte(src)}
		}
		repo, err := load(fsys)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, rule := range rules {
			for _, f := range rule.check(repo) {
				got = append(got, f.String())
			}
		}
		if text := strings.Join(slices.Sorted(slices.Values(got)), "\n"); text != want {
			t.Errorf("with %s =\n%s\nfound:\n%s\nwant:\n%s", path, source, text, want)
		}
	}
	check("README.md", "", "")
	for _, b := range breaches {
		check(b.path, b.source, b.want)
	}
}
