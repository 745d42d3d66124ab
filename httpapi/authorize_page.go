package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/knell-auth/knell/node"
)

// Pages work without scripts and without style; html/template escapes whatever a client or a user chose.
var (
	//go:embed authorize.html
	pageText string
	//go:embed authorize.css
	styleText string

	pages     = template.Must(template.New("").Parse(pageText))
	style     = template.CSS(styleText)
	styleHash = base64.StdEncoding.EncodeToString(sha256Of(styleText))
)

func sha256Of(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// logInPage is what the log-in page shows.
type logInPage struct {
	Client  string // who asks
	Host    string // where the user is sent afterwards
	Scopes  []scopeText
	Typed   typed
	Error   string // "" at first
	Field   string // of Request
	Request string
	Style   template.CSS
}

// typed is what of a log-in page is kept when it is shown again. Not the password.
type typed struct {
	Name     string // as it was typed or hinted at
	Remember bool   // the user wants to stay logged in
}

// errorPage is shown when there is nobody to redirect to.
type errorPage struct {
	Text      string
	RequestID string
	Style     template.CSS
}

// scopeText is one thing that a client asks for. Text is "" for a scope that only the services know.
type scopeText struct{ Scope, Text string }

// standardScopes are those of OpenID Connect Core 1.0 section 5.4, and the one for roles.
var standardScopes = map[string]string{
	"openid": "who you are", "profile": "your name", "email": "your email address", "roles": "your roles, and what they permit",
}

func (logInPage) template() string { return "login" }
func (errorPage) template() string { return "error" }

// showLogIn answers with the log-in page for req.
func (a *api) showLogIn(w http.ResponseWriter, status int, client node.Client, req node.CodeRequest,
	what typed, problem string) {
	p := logInPage{
		Client: client.Name, Host: destination(req.Redirect), Typed: what, Error: problem, Field: fieldRequest,
		Request: a.n.SealRequest(req), Style: style,
	}
	if p.Client == "" {
		p.Client = client.ID
	}
	asked := req.Scope
	if asked == nil {
		asked = client.Scope
	}
	for _, s := range asked {
		p.Scopes = append(p.Scopes, scopeText{s, standardScopes[s]})
	}
	scheme, _, _ := strings.Cut(req.Redirect, ":")
	writePage(w, status, scheme, p)
}

// destination is how a redirect URI is shown: its host, or the scheme of a program on the user's machine.
func destination(redirect string) string {
	u, err := url.Parse(redirect)
	if err != nil || u.Host == "" {
		scheme, _, _ := strings.Cut(redirect, ":")
		return scheme
	}
	return u.Host
}

// writePage answers with a page. redirectScheme is that of the URI to which its form leads in the end, "" for a page without a
// form.
func writePage(w http.ResponseWriter, status int, redirectScheme string, page interface{ template() string }) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, page.template(), page); err != nil {
		panic(err)
	}
	h := w.Header()
	setPageHeaders(h, redirectScheme)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", "en")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a browser that is gone cannot be told
}

// setPageHeaders forbids all that the pages do not need. Some browsers hold form-action against each redirect that follows a
// form, also those that the client's own site makes after ours; its scheme is let through, since a narrower list would break
// such clients, and the pages have no form but ours.
func setPageHeaders(h http.Header, redirectScheme string) {
	action := "'none'"
	if redirectScheme != "" {
		action = "'self' " + redirectScheme + ":"
	}
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+styleHash+"'; form-action "+action+
		"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
}
