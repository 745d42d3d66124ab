package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// The name of the client app is what an injection would like to be.
const (
	appName     = `Orders</title><script>alert(1)</script>" onload="x`
	appRedirect = "https://app.test/cb?tenant=1"
)

const carolPassword = "christmas-1843"

// newAppWorld returns a world with the user carol and the public client app.
func newAppWorld(t *testing.T, edit ...func(*node.Config)) *world {
	t.Helper()
	w := newWorld(t, edit...)
	w.vars["carol-id"] = addApp(t, w.node).String()
	w.vars["carol-password"] = carolPassword
	return w
}

// addApp creates app and carol at a replica and returns carol's id.
func addApp(t *testing.T, n *node.Node) events.ID {
	t.Helper()
	err := n.CreateClient(t.Context(), node.NewClient{
		ID: "app", Name: appName, Scope: []string{"openid", "profile", "email", "notes"}, Redirects: []string{appRedirect, "http://127.0.0.1/cb"},
	}, node.Origin{Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	carol, err := n.CreateUser(t.Context(), node.NewUser{
		Name: "carol", Password: carolPassword, FullName: "Carol Example", Email: "carol@example.com",
		Scope: []string{"profile", "notes", "email"},
	}, node.Origin{Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return carol.ID
}

// page is a page as a browser without scripts sees it.
type page struct {
	elements []element
	fields   url.Values // of its form, hidden ones with their values
}

// element is one start tag and the text that follows it, up to the next end tag.
type element struct {
	name  string
	attrs map[string]string
	text  string
}

// readPage parses HTML whose elements are all closed.
func readPage(t *testing.T, body string) page {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(body))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	p := page{fields: url.Values{}}
	open := false
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return p
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, body)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			e := element{name: tok.Name.Local, attrs: map[string]string{}}
			for _, a := range tok.Attr {
				e.attrs[a.Name.Local] = a.Value
			}
			p.elements = append(p.elements, e)
			_, checked := e.attrs["checked"]
			if e.name == "input" && (e.attrs["type"] != "checkbox" || checked) {
				p.fields.Set(e.attrs["name"], e.attrs["value"])
			}
			open = true
		case xml.EndElement:
			open = false
		case xml.CharData:
			if open {
				p.elements[len(p.elements)-1].text += string(tok)
			}
		}
	}
}

// find returns the elements of a name.
func (p page) find(name string) []element {
	return slices.DeleteFunc(slices.Clone(p.elements), func(e element) bool { return e.name != name })
}

// alert returns the text that a screen reader reads out at once, "" if there is none.
func (p page) alert() string {
	for _, e := range p.elements {
		if e.attrs["role"] == "alert" {
			return strings.TrimSpace(e.text)
		}
	}
	return ""
}

// allowedElements are what the pages are made of: anything else came from outside.
var allowedElements = []string{"html", "head", "meta", "title", "style", "body", "main", "h1", "bdi", "p", "strong", "ul", "li", "form",
	"input", "label", "button", "code"}

// allowedAttributes are those that can neither run nor fetch anything.
var allowedAttributes = []string{"lang", "charset", "name", "content", "role", "id", "aria-labelledby", "aria-describedby", "method",
	"action", "type", "value", "for", "autocomplete", "autocapitalize", "autocorrect", "spellcheck", "maxlength", "required", "class", "formnovalidate", "checked"}

// checkPage fails the test unless an answer is a page that is plain, accessible and locked up.
func checkPage(t *testing.T, w *httptest.ResponseRecorder) page {
	t.Helper()
	expect(t, w, w.Code, "Content-Type: text/html; charset=utf-8", "Cache-Control: no-store", "X-Content-Type-Options: nosniff",
		"X-Frame-Options: DENY", "Referrer-Policy: no-referrer", "Content-Language: en", "Location: -", "Set-Cookie: -")
	body := w.Body.String()
	p := readPage(t, body)
	ids := map[string]bool{}
	for _, e := range p.elements {
		if !slices.Contains(allowedElements, e.name) {
			t.Errorf("element %s %v", e.name, e.attrs)
		}
		for name := range e.attrs {
			if !slices.Contains(allowedAttributes, name) {
				t.Errorf("attribute %s of %s", name, e.name)
			}
		}
		if id := e.attrs["id"]; id != "" && ids[id] {
			t.Errorf("id %s occurs twice", id)
		} else if id != "" {
			ids[id] = true
		}
	}
	if !strings.HasPrefix(body, "<!DOCTYPE html>") || p.elements[0].attrs["lang"] != "en" ||
		len(p.find("main")) != 1 || len(p.find("h1")) != 1 {
		t.Error("no document type, no language, or not one main and one h1")
	}
	if title := p.find("title"); len(title) != 1 || strings.TrimSpace(title[0].text) == "" {
		t.Errorf("title %v", title)
	}
	labels := map[string]bool{}
	for _, l := range p.find("label") {
		labels[l.attrs["for"]] = strings.TrimSpace(l.text) != ""
	}
	for _, in := range p.find("input") {
		typed := in.attrs["type"] == "text" || in.attrs["type"] == "password"
		if in.attrs["type"] != "hidden" && !labels[in.attrs["id"]] || typed && in.attrs["autocomplete"] == "" {
			t.Errorf("field without label or autocomplete: %v", in.attrs)
		}
		if by := in.attrs["aria-describedby"]; by != "" && !ids[by] {
			t.Errorf("described by %s, which is not there", by)
		}
	}
	checkPolicy(t, w.Header(), p)
	return p
}

// checkPolicy fails the test unless the policy lets the page's own style through, and nothing else.
func checkPolicy(t *testing.T, h http.Header, p page) {
	t.Helper()
	policy := h.Get("Content-Security-Policy")
	sum := sha256.Sum256([]byte(p.find("style")[0].text))
	style := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	directives := strings.Split(policy, "; ")
	for _, want := range []string{"default-src 'none'", style, "frame-ancestors 'none'", "base-uri 'none'"} {
		if !slices.Contains(directives, want) {
			t.Errorf("policy %q lacks %s", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") || len(directives) != 5 {
		t.Errorf("policy %q", policy)
	}
	if len(p.find("form")) == 0 && !slices.Contains(directives, "form-action 'none'") {
		t.Errorf("policy %q of a page without a form", policy)
	}
}

const testVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // of RFC 7636 appendix B, with its challenge below

// request is a good authorization request of the client app.
func authorization() url.Values {
	return url.Values{
		"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {appRedirect}, "scope": {"openid profile"}, "state": {"s-1"},
		"nonce": {"n-1"}, "code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}
}

// with returns values with others put over them; "-" takes one away.
func with(values url.Values, pairs ...string) url.Values {
	values = maps.Clone(values)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "-" {
			values.Del(pairs[i])
		} else {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	return values
}

// ask sends an authorization request.
func ask(h http.Handler, values url.Values) *httptest.ResponseRecorder {
	return call(h, "GET", "/authorize?"+values.Encode(), "")
}

// fill returns the form of a log-in page, filled in.
func fill(t *testing.T, w *httptest.ResponseRecorder, name, password string) url.Values {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("no log-in page: %d\n%s", w.Code, w.Body)
	}
	return with(readPage(t, w.Body.String()).fields, "username", name, "password", password)
}

// submit sends a form of a log-in page.
func submit(h http.Handler, form url.Values, headers ...string) *httptest.ResponseRecorder {
	return call(h, "POST", "/authorize", form.Encode(), append(headers, formType)...)
}

// answered returns the parameters with which the client was answered, or fails the test.
func answered(t *testing.T, w *httptest.ResponseRecorder, redirect string) url.Values {
	t.Helper()
	expect(t, w, http.StatusSeeOther, "Cache-Control: no-store", "Referrer-Policy: no-referrer", "Set-Cookie: -")
	location := w.Header().Get("Location")
	rest, ok := strings.CutPrefix(location, redirect)
	if !ok || rest == "" || rest[0] != '?' && rest[0] != '&' {
		t.Fatalf("redirected to %q, want %s\n%s", location, redirect, w.Body)
	}
	values, err := url.ParseQuery(rest[1:])
	if err != nil {
		t.Fatal(err)
	}
	if values.Get("iss") != "https://knell.test" {
		t.Errorf("iss %q", values.Get("iss"))
	}
	return values
}

// obtain logs carol in for a request of app at one handler and returns the form with which the code is redeemed.
func obtain(t *testing.T, h http.Handler, values url.Values) url.Values {
	t.Helper()
	got := answered(t, submit(h, fill(t, ask(h, values), "carol", carolPassword)), values.Get("redirect_uri"))
	if got.Get("code") == "" || got.Get("state") != values.Get("state") || len(got) != 3 {
		t.Fatalf("answer %v", got)
	}
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {got.Get("code")}, "redirect_uri": {values.Get("redirect_uri")},
		"client_id": {values.Get("client_id")}, "code_verifier": {testVerifier},
	}
}

// redeem sends a token request.
func redeem(h http.Handler, form url.Values) *httptest.ResponseRecorder {
	return call(h, "POST", "/token", form.Encode(), formType)
}
