package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// preferredWait returns the wait preference of a request (RFC 7240 section 4.3): how long the client wants to wait for an
// answer. The first well-formed one counts; whatever else a Prefer header holds is ignored, as section 2 says.
func preferredWait(h http.Header) (time.Duration, bool) {
	for _, line := range h["Prefer"] {
		for pref := range strings.SplitSeq(line, ",") {
			pref, _, _ = strings.Cut(pref, ";") // parameters
			name, value, _ := strings.Cut(pref, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			value = strings.TrimSpace(value)
			if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
				value = value[1 : len(value)-1]
			}
			if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
				return time.Duration(seconds) * time.Second, true
			}
		}
	}
	return 0, false
}
