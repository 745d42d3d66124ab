package structure

import (
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// attacksPath is the list of attacks and the tests that hold them.
const attacksPath = "docs/attacks.md"

// named is a test as the list names it: `package` `Test/case`.
var named = regexp.MustCompile("`([a-z0-9/-]+)` `((?:Test|Fuzz)[A-Za-z0-9]+)(?:/([^`]+))?`")

// TestAttacks: every test and case that the list names is there, each attack is named once, and no part of the corpus is missing.
func TestAttacks(t *testing.T) {
	root := os.DirFS("../..")
	repo, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	page, err := fs.ReadFile(root, attacksPath)
	if err != nil {
		t.Fatal(err)
	}
	attacks, used := map[string]bool{}, map[string]bool{}
	number := 0
	for line := range strings.Lines(string(page)) {
		number++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) == 3 && cells[0] == " attack" {
			continue
		}
		tests := named.FindAllStringSubmatch(line, -1)
		if len(cells) != 3 || len(tests) == 0 || strings.Count(cells[2], "`") != 4*len(tests) {
			t.Errorf("%s:%d: want an attack, what happens, and tests as `package` `Test/case`", attacksPath, number)
			continue
		}
		section := cells[0]
		for _, m := range tests {
			used[m[1]+" "+m[2]] = true
			if what := repo.lacks(root, m[1], m[2], m[3], used); what != "" {
				t.Errorf("%s:%d: %s", attacksPath, number, what)
			}
		}
		if attacks[section+cells[2]] {
			t.Errorf("%s:%d: %s is named twice", attacksPath, number, section)
		}
		attacks[section+cells[2]] = true
	}
	if len(attacks) < 100 {
		t.Errorf("%d attacks, want at least 100", len(attacks))
	}
	for _, name := range repo.corpus(t, root) {
		if !used[name] {
			t.Errorf("%s is not named in %s", name, attacksPath)
		}
	}
}

// lacks returns what is missing of a test, "" if it is there, and marks a script as used.
func (t *tree) lacks(root fs.FS, dir, test, name string, used map[string]bool) string {
	for _, f := range t.files {
		if f.dir != dir || !f.test || !declares(f, test) {
			continue
		}
		if test == "TestScripts" {
			return scriptLacks(root, dir, name, used)
		}
		if name != "" && !hasText(f, name) {
			return f.path + " has no case " + strconv.Quote(name)
		}
		return ""
	}
	return dir + " has no " + test
}

// scriptLacks returns what is missing of a step, which is named by its script, a slash and its title.
func scriptLacks(root fs.FS, dir, name string, used map[string]bool) string {
	script, title, _ := strings.Cut(strings.TrimPrefix(name, "attacks/"), "/")
	if strings.HasPrefix(name, "attacks/") {
		script = "attacks/" + script
	}
	file := path.Join(dir, "testdata", script+".txt")
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return err.Error()
	}
	used[file] = true
	if !strings.Contains("\n"+string(text), "\n=== "+title+"\n") {
		return file + " has no step " + strconv.Quote(title)
	}
	return ""
}

// corpus returns what the list has to name: every test in a file called attack_*_test.go, and every script under testdata/attacks.
func (t *tree) corpus(tb testing.TB, root fs.FS) (names []string) {
	scripts, err := fs.Glob(root, "httpapi/testdata/attacks/*.txt")
	if err != nil || len(scripts) == 0 {
		tb.Errorf("no scripts: %v", err)
	}
	for _, f := range t.files {
		if !strings.HasPrefix(path.Base(f.path), "attack_") {
			continue
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Test") {
				names = append(names, f.dir+" "+fn.Name.Name)
			}
		}
	}
	return append(names, scripts...)
}

func declares(f *file, test string) bool {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == test {
			return true
		}
	}
	return false
}

// hasText reports whether f has a string literal that is text.
func hasText(f *file, text string) (found bool) {
	ast.Inspect(f.File, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			value, err := strconv.Unquote(lit.Value)
			found = found || err == nil && value == text
		}
		return !found
	})
	return found
}
