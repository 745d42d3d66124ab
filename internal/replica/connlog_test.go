package replica

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/knell-auth/knell/node"
)

// What net/http says about connections names no address unless addresses are recorded as they are.
func TestConnectionLog(t *testing.T) {
	for line, want := range map[string]string{
		"http: TLS handshake error from 192.0.2.7:4711: EOF": "http: TLS handshake error from (address): EOF",
		"http: panic serving [2001:db8::7]:4711: oh":         "http: panic serving (address): oh",
		"read tcp 10.0.0.1:443->192.0.2.7:4711: i/o timeout": "read tcp (address)->(address): i/o timeout",
		"from [fe80::1%eth0]:1, version 1.2.":                "from (address), version 1.2.",
	} {
		for _, rec := range []node.Recording{{}, {Address: node.RecordHashed}} {
			var b bytes.Buffer
			connectionLog(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})), rec).Print(line)
			expected := map[bool]string{true: line, false: want}[rec.Address == ""]
			if !strings.Contains(b.String(), expected) {
				t.Errorf("%v: %s", rec, b.String())
			}
		}
	}
}
