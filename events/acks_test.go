package events

import (
	"testing"

	"github.com/nats-io/nats.go"
)

func TestReadAnswer(t *testing.T) {
	failed := func(code, errCode, text string) string {
		return `{"error":{"code":` + code + `,"err_code":` + errCode + `,"description":"` + text + `"},"stream":"KNELL","seq":0}`
	}
	for _, c := range []struct {
		data string
		want answer
	}{
		{`{"stream":"KNELL", "seq":42}`, answer{verdict: stored, seq: 42}},
		{`{"stream":"KNELL","seq":42}`, answer{verdict: stored, seq: 42}},
		{`{"stream":"KNELL", "domain":"hub", "seq":42}`, answer{verdict: stored, seq: 42}},
		{`{"stream":"KNELL","domain":"hub","seq":42}`, answer{verdict: stored, seq: 42}},
		{`{"stream":"KNELL","domain":"hub","seq":42,"duplicate": true}`, answer{verdict: stored, seq: 42, duplicate: true}},
		{`{"stream":"KNELL", "seq":42,"duplicate": true}`, answer{verdict: stored, seq: 42, duplicate: true}},
		{`{"stream":"KNELL", "seq":0}`, answer{verdict: lost}},
		{`{"stream":"KNELL", "seq":}`, answer{verdict: lost}},
		{`{"stream":"KNELL", "seq":42`, answer{verdict: lost}},
		{`{"stream":"OTHER", "seq":42}`, answer{verdict: lost}},
		{`{}`, answer{verdict: lost}},
		{``, answer{verdict: lost}},
		{failed("503", "10077", "maximum bytes exceeded"), answer{verdict: full}},
		{failed("503", "10077", "store is closed"), answer{verdict: lost}},
		{failed("503", "10023", "insufficient resources"), answer{verdict: full}},
		{failed("400", "10002", "resource limits exceeded for account"), answer{verdict: full}},
		{failed("500", "10047", "insufficient storage resources available"), answer{verdict: full}},
		{failed("409", "10158", "duplicate message id is in process"), answer{verdict: lost}},
		{failed("503", "10008", "JetStream system temporarily unavailable"), answer{verdict: missed}},
		{failed("400", "10109", "invalid operation on sealed stream"), answer{verdict: refused}},
	} {
		got := readAnswer(&nats.Msg{Data: []byte(c.data)})
		if (got.err == nil) != (got.verdict == stored) {
			t.Errorf("%s: error %v", c.data, got.err)
		}
		if got.err = nil; got != c.want {
			t.Errorf("%s: %+v, want %+v", c.data, got, c.want)
		}
	}
	nobody := &nats.Msg{Header: nats.Header{"Status": {"503"}}}
	if got := readAnswer(nobody); got.verdict != missed {
		t.Errorf("nobody there: %+v", got)
	}
}
