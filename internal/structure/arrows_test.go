package structure

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

const (
	nats       = "github.com/nats-io/"            // any package of the project: client, keys, JWT, server
	natsServer = "github.com/nats-io/nats-server" // the embedded server
)

// leaves import no package of ours.
var leaves = []string{
	"internal/backup", "internal/balance", "internal/canary", "internal/doctor", "internal/durable", "internal/extauthz", "internal/fence",
	"internal/limit", "internal/merkle", "internal/password", "internal/revoke", "internal/structure", "internal/tap",
	"internal/token", "internal/tracing", "internal/trail", "internal/webhook",
}

// places lists every package, with what its non-test files may import of ours. A name that ends in /... stands for all
// packages below it too, and "..." for everything but programs and cluster-test. A new package needs a line here: adding it is
// the moment to think about its place.
var places = []struct {
	name string
	may  []string
	nats bool // may import the NATS client
}{
	{name: "events", nats: true},
	{name: "events/eventstest", may: []string{"events"}, nats: true},
	{name: "node", may: append([]string{"events"}, parts...)},
	{name: "httpapi", may: []string{"node", "events", "internal/limit"}},
	{name: "internal/metrics", may: []string{"node"}},
	{name: "internal/audit", may: []string{"events", "internal/merkle"}},
	{name: "internal/natsd", may: []string{"internal/durable"}, nats: true},
	{name: "internal/tap", nats: true},
	{name: "internal/identity", may: []string{"internal/durable"}, nats: true},
	{name: "internal/export", may: []string{"internal/durable"}},
	{name: "internal/replica", may: []string{"..."}, nats: true},
	{name: "internal/restore", may: []string{"events", "node", "internal/backup", "internal/durable", "internal/natsd"}},
	{name: "internal/release"},
	{name: "cmd/knell", may: append([]string{"..."}, loadTester...), nats: true},
	{name: "cluster-test/...", may: []string{"...", "cluster-test/..."}, nats: true},
}

// loadTester are the packages of cluster-test that knell bench is made of.
var loadTester = []string{"cluster-test/cluster", "cluster-test/fault", "cluster-test/history", "cluster-test/load", "cluster-test/report"}

// parts are the leaves that node is made of.
var parts = []string{"internal/backup", "internal/durable", "internal/fence", "internal/limit", "internal/merkle", "internal/password", "internal/revoke", "internal/token", "internal/webhook"}

// inTests lists what _test files of packages other than leaves may import besides.
var inTests = append([]string{"events", "events/eventstest", "internal/natsd", "internal/canary", "internal/metrics", "internal/tracing"}, parts...)

// natsdUsers are the only packages whose non-test files may start a NATS server.
var natsdUsers = []string{"cmd/knell", "internal/replica", "internal/restore", "cluster-test/..."}

// checkArrows reports imports against section "Packages" of docs/design.md:
//
//	cmd/* -> httpapi -> node -> events -> nats.go
//	                      \-> leaves
//	cmd/knell, internal/replica -> internal/natsd -> nats-server
//	cmd/knell -> the load tester of cluster-test
func checkArrows(t *tree) (found []finding) {
	unplaced := map[string]bool{}
	for _, f := range t.files {
		may, client, placed := place(f.dir)
		if !placed {
			if !unplaced[f.dir] {
				text := f.dir + " has no place among the arrows; give it one in internal/structure"
				found = append(found, finding{f.path, t.line(f.Name), text})
			}
			unplaced[f.dir] = true
			continue
		}
		if f.test && !slices.Contains(leaves, f.dir) {
			may = append(slices.Clone(may), inTests...)
		}
		for _, imp := range t.imported(f) {
			if why := refuse(f, imp, may, client); why != "" {
				found = append(found, finding{f.path, imp.line, fmt.Sprintf("imports %s: %s", imp.path, why)})
			}
		}
	}
	return append(found, checkEventsInHTTP(t)...)
}

// place returns what the non-test files of dir may import, and false if no line says so.
func place(dir string) (may []string, client, ok bool) {
	for _, p := range places {
		if match(p.name, dir) {
			return p.may, p.nats, true
		}
	}
	return nil, false, slices.Contains(leaves, dir)
}

// refuse returns why f may not import imp, or "".
func refuse(f *file, imp imported, may []string, client bool) string {
	switch {
	case imp.ours == "" && f.test:
		return ""
	case strings.HasPrefix(imp.path, natsServer) && f.dir != "internal/natsd":
		return "only internal/natsd and tests use the server"
	case strings.HasPrefix(imp.path, nats) && !client:
		return f.dir + " reaches NATS through events only"
	case imp.ours == "" || imp.ours == f.dir: // the latter is an external test
		return ""
	case imp.ours == "internal/natsd" && !f.test && !matchAny(natsdUsers, f.dir):
		return "only the packages that wire a replica start a server"
	case !matchAny(may, imp.ours):
		return "against the arrows"
	}
	return ""
}

// match reports whether dir is what pattern names.
func match(pattern, dir string) bool {
	if pattern == "..." {
		return !strings.HasPrefix(dir, "cmd/") && !strings.HasPrefix(dir, "cluster-test")
	}
	if root, below := strings.CutSuffix(pattern, "/..."); below {
		return dir == root || strings.HasPrefix(dir, root+"/")
	}
	return dir == pattern
}

func matchAny(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, dir) })
}

// checkEventsInHTTP reports where httpapi uses the half of events that talks to NATS: whatever is declared in a file of
// events that imports NATS. Of events it may know the vocabulary.
func checkEventsInHTTP(t *tree) (found []finding) {
	bound := map[string]bool{}
	for _, f := range t.files {
		isNATS := func(imp imported) bool { return strings.HasPrefix(imp.path, nats) }
		if f.dir == "events" && !f.test && slices.ContainsFunc(t.imported(f), isNATS) {
			for _, name := range declared(f) {
				bound[name] = true
			}
		}
	}
	for _, f := range t.files {
		if f.dir != "httpapi" || f.test {
			continue
		}
		selectors(f, localName(f, t.module+"/events"), func(sel *ast.SelectorExpr) {
			if bound[sel.Sel.Name] {
				text := fmt.Sprintf("events.%s talks to NATS: go through node", sel.Sel.Name)
				found = append(found, finding{f.path, t.line(sel), text})
			}
		})
	}
	return found
}

// declared returns the names that f declares at package level, without methods.
func declared(f *file) (names []string) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					names = append(names, s.Name.Name)
				case *ast.ValueSpec:
					for _, n := range s.Names {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}
