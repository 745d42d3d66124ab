package httpapi

import (
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// preferredWait returns the wait preference of a request (RFC 7240 section 4.3): how long the client wants to wait for an
// answer. The first well-formed one counts; whatever else a Prefer header holds is ignored, as section 2 says.
func preferredWait(h http.Header) (time.Duration, bool) {
	for value := range preferences(h, "wait") {
		if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
			return time.Duration(seconds) * time.Second, true
		}
	}
	return 0, false
}

// prefersRepresentation reports whether a client wants to be sent what came of its request (RFC 7240 section 4.2). Of several such
// preferences the first one counts.
func prefersRepresentation(h http.Header) bool {
	for value := range preferences(h, "return") {
		return strings.EqualFold(value, "representation")
	}
	return false
}

// preferences yields the values of the preferences of a name.
func preferences(h http.Header, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range h["Prefer"] {
			for pref := range strings.SplitSeq(line, ",") {
				pref, _, _ = strings.Cut(pref, ";") // parameters
				have, value, _ := strings.Cut(pref, "=")
				if !strings.EqualFold(strings.TrimSpace(have), name) {
					continue
				}
				value = strings.TrimSpace(value)
				if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
					value = value[1 : len(value)-1]
				}
				if !yield(value) {
					return
				}
			}
		}
	}
}
