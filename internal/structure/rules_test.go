package structure

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

const (
	maxFileLines    = 400
	maxFuncLines    = 70
	maxStructFields = 20

	dependenciesPath = "docs/dependencies.md"
)

// vague are names that say nothing about what a package owns.
var vague = []string{"base", "common", "helper", "helpers", "lib", "manager", "managers", "misc", "shared", "type", "types", "util", "utils"}

// checkSizes reports files, functions and structs that are too large, tests included.
func checkSizes(t *tree) (found []finding) {
	for _, f := range t.files {
		if f.lines > maxFileLines {
			found = append(found, finding{f.path, f.lines, fmt.Sprintf("file of %d lines, at most %d", f.lines, maxFileLines)})
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if lines := t.span(n); lines > maxFuncLines {
					text := fmt.Sprintf("function %s of %d lines, at most %d", n.Name.Name, lines, maxFuncLines)
					found = append(found, finding{f.path, t.line(n), text})
				}
			case *ast.StructType:
				if fields := n.Fields.NumFields(); fields > maxStructFields {
					text := fmt.Sprintf("struct of %d fields, at most %d", fields, maxStructFields)
					found = append(found, finding{f.path, t.line(n), text})
				}
			}
			return true
		})
	}
	return found
}

// checkGenerated reports generated files: there are none.
func checkGenerated(t *tree) (found []finding) {
	for _, f := range t.files {
		if ast.IsGenerated(f.File) {
			found = append(found, finding{f.path, 1, "generated file"})
		}
	}
	return found
}

// checkPackages reports packages with a vague name, and those without exactly one package comment. A package of tests
// only has its comment in one of them.
func checkPackages(t *tree) (found []finding) {
	byDir := map[string][]*file{}
	var dirs []string
	for _, f := range t.files {
		if byDir[f.dir] == nil {
			dirs = append(dirs, f.dir)
		}
		byDir[f.dir] = append(byDir[f.dir], f)
	}
	for _, dir := range dirs {
		files := byDir[dir]
		first := files[0]
		name := strings.TrimSuffix(first.Name.Name, "_test")
		for _, n := range []string{name, path.Base(dir)} {
			if slices.Contains(vague, n) {
				found = append(found, finding{first.path, t.line(first.Name), fmt.Sprintf("package named %s: name what it owns", n)})
				break
			}
		}
		isTest := func(f *file) bool { return f.test }
		if slices.ContainsFunc(files, func(f *file) bool { return !f.test }) {
			files = slices.DeleteFunc(slices.Clone(files), isTest)
		}
		found = append(found, checkPackageDoc(t, name, files)...)
	}
	return found
}

func checkPackageDoc(t *tree, name string, files []*file) (found []finding) {
	docs := 0
	for _, f := range files {
		text := f.Doc.Text()
		if text == "" {
			continue
		}
		if docs++; docs > 1 {
			found = append(found, finding{f.path, t.line(f.Doc), "second package comment"})
		}
		if name != "main" && !strings.HasPrefix(text, "Package "+name+" ") {
			found = append(found, finding{f.path, t.line(f.Doc), "package comment does not begin with Package " + name})
		}
	}
	if docs == 0 {
		found = append(found, finding{files[0].path, t.line(files[0].Name), "package " + name + " has no package comment"})
	}
	return found
}

// checkComments reports exported identifiers without a comment. For constants and variables the comment of their group
// or one at the end of the line will do, and one comment serves methods of one name on lines without a gap (Error of
// several types). Fields and the methods of interfaces are not looked at.
func checkComments(t *tree) (found []finding) {
	for _, f := range t.files {
		if f.test {
			continue
		}
		report := func(n *ast.Ident) {
			if n.IsExported() {
				found = append(found, finding{f.path, t.line(n), n.Name + " has no doc comment"})
			}
		}
		var commented *ast.FuncDecl // the last one that is
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Doc.Text() != "" || t.follows(commented, d) {
					commented = d
				} else if d.Recv == nil || ast.IsExported(receiver(d)) {
					report(d.Name)
				}
			case *ast.GenDecl:
				uncommented(d, report)
			}
		}
	}
	return found
}

// follows reports whether d is a method of the same name as before, on the line after it.
func (t *tree) follows(before, d *ast.FuncDecl) bool {
	return before != nil && before.Recv != nil && d.Recv != nil && before.Name.Name == d.Name.Name &&
		t.fset.Position(before.End()).Line+1 == t.line(d)
}

func uncommented(d *ast.GenDecl, report func(*ast.Ident)) {
	group := d.Doc.Text() != ""
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			alone := d.Lparen == token.NoPos
			if s.Doc.Text() == "" && (!group || !alone) {
				report(s.Name)
			}
		case *ast.ValueSpec:
			if s.Doc.Text() == "" && s.Comment.Text() == "" && !group {
				for _, n := range s.Names {
					report(n)
				}
			}
		}
	}
}

// receiver returns the name of the type that d is a method of.
func receiver(d *ast.FuncDecl) string {
	name := ""
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name // the first: type parameters come after it
		}
		return name == ""
	})
	return name
}

// checkSleeps reports time.Sleep in tests. In a synctest bubble it costs nothing and races with nothing; in cluster-test
// real processes need real time.
func checkSleeps(t *tree) (found []finding) {
	for _, f := range t.files {
		if !f.test || match("cluster-test/...", f.dir) || localName(f, "testing/synctest") != "" {
			continue
		}
		selectors(f, localName(f, "time"), func(sel *ast.SelectorExpr) {
			if sel.Sel.Name == "Sleep" {
				found = append(found, finding{f.path, t.line(sel), "time.Sleep in a test without synctest"})
			}
		})
	}
	return found
}

// checkDependencies reports direct dependencies that docs/dependencies.md does not name. Direct is what go.mod does not
// mark as indirect, and what our code imports, whatever go.mod says.
func checkDependencies(t *tree) (found []finding) {
	used := map[string]bool{}
	for _, f := range t.files {
		for _, imp := range t.imported(f) {
			if best := longest(t.deps, imp.path); best != "" {
				used[best] = true
			}
		}
	}
	for _, d := range t.deps {
		if used[d.path] && d.indirect {
			found = append(found, finding{"go.mod", d.line, d.path + " is imported but marked as indirect"})
		}
		if (used[d.path] || !d.indirect) && !names(t.dependenciesDoc, d.path) {
			found = append(found, finding{"go.mod", d.line, d.path + " is not named in " + dependenciesPath})
		}
	}
	return found
}

// longest returns the module that provides the package: the one with the longest path among those that contain it.
func longest(deps []dependency, pkg string) (best string) {
	for _, d := range deps {
		if (pkg == d.path || strings.HasPrefix(pkg, d.path+"/")) && len(d.path) > len(best) {
			best = d.path
		}
	}
	return best
}

// names reports whether text has module as a whole: nats-io/nats is not named by nats-io/nats-server.
func names(text, module string) bool {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n`|()[]<>,;:\"'@#", r) }) {
		word = strings.TrimRight(word, ".")
		if word == module || strings.HasSuffix(word, "/"+module) { // the latter is a link to pkg.go.dev
			return true
		}
	}
	return false
}
