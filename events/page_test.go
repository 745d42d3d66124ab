package events_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/knell-auth/knell/events"
)

// pageMark stands in docs/events.md before what TestPage makes.
const pageMark = "<!-- What follows is made from the code: go test ./events -run TestPage -update -->\n"

// TestPage compares docs/events.md with the code: what each type says is its comment in the vocabulary, what its fields are is what
// is written and read.
func TestPage(t *testing.T) {
	const file = "../docs/events.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, have, ok := strings.Cut(string(text), pageMark)
	if !ok {
		t.Fatalf("%s has no line %s", file, pageMark)
	}
	want := newVocabulary(t).page()
	if *update {
		err = os.WriteFile(file, []byte(before+pageMark+want), 0o644)
	} else if have != want {
		t.Errorf("%s is not what the code says: go test ./events -run TestPage -update", file)
	}
	if err != nil {
		t.Error(err)
	}
	for _, attribute := range []string{"specversion", "id", "source", "type", "time", "subject", "datacontenttype", "level", "epoch", "actor",
		"clientaddress", "network", "useragent", "requestid", "traceparent", "reason", "sequence", "void", "username", "actorname"} {
		if !strings.Contains(before, "| `"+attribute+"` |") {
			t.Errorf("%s does not say what the attribute %s is", file, attribute)
		}
	}
}

// vocabulary is what the source of the package says about its payloads.
type vocabulary struct {
	t       *testing.T
	structs map[string]*ast.TypeSpec // by the Go name
	about   map[string]string        // their comments
	wire    map[string][]wireField   // in the order in which they are written
	types   map[string]events.Type
}

// wireField is one member of "data".
type wireField struct{ name, field, kind string }

func newVocabulary(t *testing.T) *vocabulary {
	v := &vocabulary{t: t, structs: map[string]*ast.TypeSpec{}, about: map[string]string{}, wire: map[string][]wireField{}, types: map[string]events.Type{}}
	for _, file := range []string{
		"vocabulary.go", "vocabulary_access.go", "vocabulary_webhook.go", "vocabulary_retention.go", "fields.go", "fields_access.go", "fields_webhook.go",
	} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if s, ok := spec.(*ast.TypeSpec); ok {
						v.structs[s.Name.Name], v.about[s.Name.Name] = s, d.Doc.Text()
					}
				}
			case *ast.FuncDecl:
				if d.Name.Name == "fields" {
					v.wire[receiver(d)] = fieldsOf(d)
				}
			}
		}
	}
	for _, info := range events.Types() {
		v.types[strings.TrimPrefix(fmt.Sprintf("%T", info.Example), "*events.")] = info.Type
	}
	return v
}

func receiver(d *ast.FuncDecl) string { return d.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name }

// fieldsOf reads calls such as c.optText("client", &p.Client).
func fieldsOf(d *ast.FuncDecl) (list []wireField) {
	for _, stmt := range d.Body.List {
		call := stmt.(*ast.ExprStmt).X.(*ast.CallExpr)
		name, _ := strconv.Unquote(call.Args[0].(*ast.BasicLit).Value)
		list = append(list, wireField{
			name:  name,
			kind:  call.Fun.(*ast.SelectorExpr).Sel.Name,
			field: call.Args[1].(*ast.UnaryExpr).X.(*ast.SelectorExpr).Sel.Name,
		})
	}
	return list
}

// kinds says what a method of the codec writes.
var kinds = map[string]string{
	"text": "string", "id": "id", "uint64": "number", "uint32": "number", "int64": "number", "bool": "boolean", "bytes": "base64",
	"list": "array of strings", "pings": "array of objects", "hooks": "array of objects",
}

// meanings are those of members that mean the same wherever their field has no comment of its own.
var meanings = map[string]string{
	"session": "the session", "user": "the user", "client": "the OAuth client, by its client_id", "scope": "what is granted",
	"key": "the API key", "code": "the authorization code", "role": "the role", "roles": "the roles that the user has now",
	"issued_at": "`iat` of the access token, Unix seconds", "access_expires": "`exp` of the access token, Unix seconds",
	"idle_expires": "the refresh token ends here unless it is used, Unix seconds", "expires": "when it ends, Unix seconds",
	"user_seq":    "newest sequence of the user's record that this was validated against",
	"client_seq":  "newest sequence of the client's record that this was validated against",
	"session_seq": "newest sequence of the session's record that this was validated against",
	"secret":      "sequence of the secret event that this records", "cause": "as in `revoked.user`", "name_hash": "a keyed hash of the name that was tried",
	"free": "failures that cost no delay", "everywhere": "all that was counted for the user is taken back", "until": "no guess is accepted before it, Unix seconds",
	"used_at": "when, Unix seconds", "generation": "number of the refresh token in its session", "redirects": "redirect URIs",
	"name": "what it is called", "email": "address", "full_name": "full name", "hash": "hash of the password or of the secret",
	"old_expires": "the secret before this one is good until then, Unix seconds", "version": "of the build", "level": "newest schema level that the replica knows",
	"incarnation": "the life of the replica", "replaces": "the life before it", "node": "name of the replica", "counter": "of its beats",
	"webhook": "name of the webhook", "address": "where events are sent", "description": "what it is for", "webhook_seq": "newest sequence of the webhook's record that this was validated against",
	"hooks": "one for each webhook", "success": "newest delivery, Unix seconds", "retry_at": "when it is tried again, Unix seconds",
	"digest": "of the state", "applied": "sequence up to which it has applied", "pings": "one for each replica", "audience": "`aud` of its tokens",
}

// words replaces the names of the code by those of the wire.
func (v *vocabulary) words(text, of string) string {
	text = strings.Join(strings.Fields(text), " ")
	return regexp.MustCompile(`\b[A-Z][A-Za-z]+\b`).ReplaceAllStringFunc(text, func(word string) string {
		if typ, ok := v.types[word]; ok {
			return "`" + string(typ) + "`"
		}
		for _, f := range v.wire[of] {
			if f.field == word {
				return "`" + f.name + "`"
			}
		}
		return word
	})
}

// comment returns what the source says about a field.
func (v *vocabulary) comment(of, field string) string {
	for _, f := range v.structs[of].Type.(*ast.StructType).Fields.List {
		for _, name := range f.Names {
			if name.Name == field {
				return v.words(f.Comment.Text(), of)
			}
		}
	}
	return ""
}

// page returns the generated part.
func (v *vocabulary) page() string {
	var b strings.Builder
	var list [3][]events.TypeInfo
	for _, info := range events.Types() {
		access := events.AccessTo(events.Subject(documented(info)))
		list[access] = append(list[access], info)
	}
	for _, part := range []struct {
		title, text string
		access      events.Access
	}{
		{"Public events", "On `knell.event.>`, for everybody who may read events.", events.Public},
		{"What replicas say about themselves", "On `knell.node.<name>`, for replicas and whoever looks after them.", events.Internal},
		{"Secret events", "On `knell.secret.>`, for replicas alone: no consumer, no stream and no page has them. The examples are made up.", events.Secret},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", part.title, part.text)
		for _, info := range list[part.access] {
			v.section(&b, info)
		}
	}
	return b.String()
}

func (v *vocabulary) section(b *strings.Builder, info events.TypeInfo) {
	name := strings.TrimPrefix(fmt.Sprintf("%T", info.Example), "*events.")
	e := documented(info)
	fmt.Fprintf(b, "\n### %s\n\n%s\n\nLevel %d, on `%s`.\n", info.Type, v.words(v.about[name], name), info.Level, generalised(events.Subject(e)))
	if fields := v.wire[name]; len(fields) > 0 {
		b.WriteString("\n| member | type | meaning |\n|---|---|---|\n")
		v.rows(b, name, "", fields)
	}
	var example bytes.Buffer
	if err := json.Indent(&example, encode(v.t, e), "", "  "); err != nil {
		v.t.Fatal(err)
	}
	fmt.Fprintf(b, "\n```json\n%s\n```\n", &example)
}

func (v *vocabulary) rows(b *strings.Builder, of, prefix string, fields []wireField) {
	for _, f := range fields {
		kind := kinds[strings.ToLower(strings.TrimPrefix(f.kind, "opt"))]
		meaning := v.comment(of, f.field)
		if meaning == "" {
			meaning = meanings[f.name]
		}
		if kind == "" || meaning == "" {
			v.t.Errorf("nobody says what %s of %s is: add a comment to its field", f.name, of)
		}
		if strings.HasPrefix(f.kind, "opt") {
			kind += ", may be absent"
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s |\n", prefix, f.name, kind, meaning)
		if item := map[string]string{"pings": "Ping", "hooks": "HookProgress"}[f.kind]; item != "" {
			v.rows(b, item, f.name+"[].", v.wire[item])
		}
	}
}

// generalised puts the name of what stands there in place of a bucket or a node.
func generalised(subject string) string {
	parts := strings.Split(subject, ".")
	switch last := &parts[len(parts)-1]; {
	case parts[1] == "node":
		*last = "<node>"
	case parts[1] == "secret" && *last != "log", parts[1] == "event" && parts[2] != "revoked":
		*last = "<bucket>"
	}
	return strings.Join(parts, ".")
}
