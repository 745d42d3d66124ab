package replica

import (
	"io"
	"log"
	"log/slog"
	"regexp"

	"github.com/knell-auth/knell/node"
)

// addressText finds what net/http writes for an address: with a port as a rule, IPv6 in brackets.
var addressText = regexp.MustCompile(`\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%\w+)?\](?::\d+)?`)

// connectionLog returns where net/http says what went wrong with a connection. It says by its address with whose: that is left out
// unless addresses are recorded as they are.
func connectionLog(l *slog.Logger, rec node.Recording) *log.Logger {
	lines := slog.NewLogLogger(l.Handler(), slog.LevelDebug)
	if rec.Address == "" || rec.Address == node.RecordPlain {
		return lines
	}
	return log.New(withoutAddresses{lines.Writer()}, "", 0)
}

// withoutAddresses writes text without the addresses in it.
type withoutAddresses struct{ w io.Writer }

// Write implements io.Writer.
func (w withoutAddresses) Write(p []byte) (int, error) {
	_, err := w.w.Write(addressText.ReplaceAll(p, []byte("(address)")))
	return len(p), err
}
