package events_test

import (
	"strings"
	"testing"

	"github.com/knell-auth/knell/events"
)

// A well-formed traceparent goes through an event; anything else leaves nothing in it, whoever wrote it.
func TestTraceParent(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for text, want := range map[string]string{
		good: good,
		"":   "", "00": "", good + "-more": "", strings.ToUpper(good): "", "01" + good[2:]: "",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": "",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": "",
		strings.Replace(good, "b7", "\"\\", 1):                    "", strings.Replace(good, "-b7", "_b7", 1): "",
	} {
		info, _ := typeInfo(events.TypeSessionRevoked)
		e := documented(info)
		e.TraceParent = text
		line := encode(t, e)
		var got events.Event
		if err := events.Decode(line, &got); err != nil || got.TraceParent != want || strings.Contains(string(line), "traceparent") != (want != "") {
			t.Errorf("%q: %v, %q in %s", text, err, got.TraceParent, line)
		}
		forged := strings.Replace(string(line), `{"specversion"`, `{"traceparent":"`+strings.Repeat("x", 55)+`","specversion"`, 1)
		if err := events.Decode([]byte(forged), &got); want == "" && (err != nil || got.TraceParent != "") {
			t.Errorf("forged: %v, %q", err, got.TraceParent)
		}
	}
}
