package httpapi

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxForm is the size in bytes up to which a form is read, maxTokenForm that of one that may hold an access token.
const (
	maxForm      = 4 << 10
	maxTokenForm = 8 << 10
)

// readForm returns the parameters in the body of r as RFC 6749 sections 3.2 and 4.3.2 and appendix B want them: form-encoded
// UTF-8, none twice; an empty one counts as absent. The URL must have no query, because parameters there are in the log
// of every proxy.
func readForm(w http.ResponseWriter, r *http.Request) (map[string]string, error) {
	return readFormUpTo(w, r, maxForm)
}

// readFormUpTo is readForm for a body of at most limit bytes.
func readFormUpTo(w http.ResponseWriter, r *http.Request, limit int64) (map[string]string, error) {
	if r.URL.RawQuery != "" {
		return nil, badRequest("parameters belong into the body, not into the URL")
	}
	return readFormBody(w, r, limit)
}

// readFormBody is readFormUpTo for an endpoint that looks at the query itself.
func readFormBody(w http.ResponseWriter, r *http.Request, limit int64) (map[string]string, error) {
	if types := r.Header["Content-Type"]; len(types) != 1 || !isMediaType(types[0], "application/x-www-form-urlencoded") {
		return nil, badRequest("the body must be application/x-www-form-urlencoded")
	}
	body, err := readBody(w, r, limit)
	if err != nil {
		return nil, err
	}
	return parseForm(string(body))
}

// readBody returns the body of r, which has at most limit bytes. One that says it is compressed is refused: whatever stood before this
// server might have read something else in it.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if len(r.Header["Content-Encoding"]) > 0 {
		return nil, badRequest("a body with a Content-Encoding is not read")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		return body, nil
	}
	if _, known := classify(err); known {
		return nil, err
	}
	return nil, badRequest("the body did not arrive whole")
}

// emptyBody reports whether the body of r has nothing in it. One that is sent in chunks says so only at its end; what was read to
// find out is put back.
func emptyBody(w http.ResponseWriter, r *http.Request) (bool, error) {
	if r.ContentLength >= 0 {
		return r.ContentLength == 0, nil
	}
	body, err := readBody(w, r, maxJSON)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return len(body) == 0, err
}

// isMediaType reports whether the Content-Type value is want, in UTF-8 if it says anything about that.
func isMediaType(value, want string) bool {
	got, params, err := mime.ParseMediaType(value)
	if err != nil || got != want {
		return false
	}
	cs, ok := params["charset"]
	return !ok || strings.EqualFold(cs, "utf-8")
}

// parseForm parses body, which net/url's own parser would accept with duplicates.
func parseForm(body string) (map[string]string, error) {
	form := make(map[string]string)
	seen := make(map[string]bool)
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(rawName)
		value, err2 := url.QueryUnescape(rawValue)
		switch {
		case err1 != nil || err2 != nil || strings.Contains(pair, ";"):
			return nil, badRequest("the body is not well-formed")
		case !isText(name) || !isText(value):
			return nil, badRequest("the body has control characters or is not UTF-8")
		case seen[name]:
			return nil, badRequest("parameter %s occurs more than once", shorten(name))
		}
		seen[name] = true
		if value != "" {
			form[name] = value
		}
	}
	return form, nil
}

// isText reports whether s is UTF-8 without control characters but the tab: UNICODECHARNOCRLF of RFC 6749 appendix A.
func isText(s string) bool {
	for _, c := range s {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}

// isVisible reports whether s has only VSCHAR: printable ASCII.
func isVisible(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// shorten returns the first characters of a client's own text, to be shown to it again.
func shorten(s string) string {
	const limit = 40
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}
