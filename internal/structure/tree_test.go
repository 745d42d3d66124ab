package structure

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// tree is the parsed repository.
type tree struct {
	fset   *token.FileSet
	module string // path of the module in go.mod
	deps   []dependency
	files  []*file
	// dependenciesDoc is docs/dependencies.md, "" if there is none.
	dependenciesDoc string
}

type dependency struct {
	path     string
	line     int // in go.mod
	indirect bool
}

// file is one Go file, whatever its build constraints.
type file struct {
	path  string // slashes, from the repository's root
	dir   string
	lines int
	test  bool // _test.go
	*ast.File
}

// finding is one breach of a rule.
type finding struct {
	path string
	line int
	text string
}

// String returns the finding as file:line: text.
func (f finding) String() string { return fmt.Sprintf("%s:%d: %s", f.path, f.line, f.text) }

// load parses every Go file of the module at the root of fsys. Like the go command it leaves out testdata, vendor, nested
// modules and directories whose names begin with a dot or an underscore.
func load(fsys fs.FS) (*tree, error) {
	mod, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return nil, err
	}
	t := &tree{fset: token.NewFileSet()}
	t.readMod(string(mod))
	doc, err := fs.ReadFile(fsys, dependenciesPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	t.dependenciesDoc = string(doc)
	return t, fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && skipDir(fsys, name):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		return t.add(name, src)
	})
}

func skipDir(fsys fs.FS, name string) bool {
	base := path.Base(name)
	if base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_' {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(name, "go.mod"))
	return err == nil
}

func (t *tree) add(name string, src []byte) error {
	parsed, err := parser.ParseFile(t.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	lines := bytes.Count(src, []byte("\n"))
	if !bytes.HasSuffix(src, []byte("\n")) {
		lines++
	}
	t.files = append(t.files, &file{
		path: name, dir: path.Dir(name), lines: lines, test: strings.HasSuffix(name, "_test.go"), File: parsed,
	})
	return nil
}

// readMod reads the two directives of go.mod that matter here.
func (t *tree) readMod(mod string) {
	block := false
	number := 0
	for line := range strings.Lines(mod) {
		number++
		line, comment, _ := strings.Cut(line, "//")
		words := strings.Fields(line)
		switch {
		case len(words) == 2 && words[0] == "module":
			t.module = words[1]
		case len(words) == 2 && words[0] == "require" && words[1] == "(":
			block = true
		case len(words) == 1 && words[0] == ")":
			block = false
		case len(words) == 3 && words[0] == "require":
			words = words[1:]
			fallthrough
		case block && len(words) == 2:
			indirect := strings.TrimSpace(comment) == "indirect"
			t.deps = append(t.deps, dependency{words[0], number, indirect})
		}
	}
}

func (t *tree) line(n ast.Node) int { return t.fset.Position(n.Pos()).Line }

// span is the number of lines from the first to the last of n.
func (t *tree) span(n ast.Node) int { return t.fset.Position(n.End()).Line - t.line(n) + 1 }

// imported returns what f imports. ours is the path from the repository's root if the package is one of this module.
func (t *tree) imported(f *file) (imports []imported) {
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has accepted it, so this does not happen
		}
		ours, in := strings.CutPrefix(p, t.module+"/")
		if !in {
			ours = ""
		}
		imports = append(imports, imported{path: p, ours: ours, line: t.line(spec)})
	}
	return imports
}

type imported struct {
	path, ours string
	line       int
}

// localName is the name under which f imports the package, "" if it does not. The last element of the path counts as the
// name of a package that is not renamed.
func localName(f *file, importPath string) string {
	for _, spec := range f.Imports {
		if spec.Path.Value != strconv.Quote(importPath) {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importPath)
	}
	return ""
}

// selectors calls visit for each name.X in f.
func selectors(f *file, name string, visit func(sel *ast.SelectorExpr)) {
	ast.Inspect(f.File, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == name {
				visit(sel)
			}
		}
		return true
	})
}
