package httpapi

import (
	"bufio"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// logHandler serves GET /log on the local socket.
type logHandler struct {
	*api
	log Log
}

// logLine is one event in the answer.
type logLine struct {
	Seq   uint64          `json:"seq"`
	ID    string          `json:"id"`
	Type  string          `json:"type"`
	Void  string          `json:"void,omitempty"`
	Event json.RawMessage `json:"event,omitempty"`
}

// logEnd is the last line. An answer without it was cut off.
type logEnd struct {
	Seq      uint64 `json:"seq"`
	Digest   string `json:"digest"`
	Applied  string `json:"applied_digest,omitempty"`
	Withheld uint64 `json:"withheld"`
	After    uint64 `json:"after,omitempty"`
}

// serve answers with the log as this replica understands it: NDJSON, one event a line with its sequence, whether and why it
// is void, and the CloudEvent unless it is a replica's own affair; secret events are left out. The last line, the only one
// with a member "end", gives the digest, and the sequence behind which it began. Query: after and up_to, both sequences; without them the whole log.
func (h *logHandler) serve(w http.ResponseWriter, r *http.Request) {
	after, upTo, err := logRange(r.URL.RawQuery)
	if err != nil {
		fail(w, r, h.n, err)
		return
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", ndjson)
		return
	}
	if err := h.readers.pages.take("log", logsAll, pagesAll); err != nil {
		fail(w, r, h.n, err)
		return
	}
	defer h.readers.pages.give("log")
	out := newLineWriter(w)
	end, err := h.log.ReadLog(r.Context(), after, upTo, func(e node.LogEntry) error {
		return out.write(logLine{e.Seq, e.ID.String(), e.Type, e.Void, e.Event})
	})
	if err == nil {
		line := logEnd{Seq: end.Seq, Digest: end.Digest.String(), Withheld: end.Withheld, After: after}
		if end.Applied != (events.ID{}) {
			line.Applied = end.Applied.String()
		}
		if err = out.write(map[string]logEnd{"end": line}); err == nil {
			err = out.buf.Flush()
		}
	}
	switch {
	case err == nil:
	case !out.begun:
		fail(w, r, h.n, err)
	default:
		// The status has gone out: the missing end and the cut connection say that this is not all.
		h.api.log.LogAttrs(r.Context(), slog.LevelWarn, "reading the log ended early", slog.Any("error", err))
		panic(http.ErrAbortHandler)
	}
}

// logRange returns the sequences in a query. Anything in it that is not understood is an error: a reader that mistypes a
// name would take the whole log for the part that it asked for.
func logRange(query string) (after, upTo uint64, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return 0, 0, badRequest("the query is malformed")
	}
	for name, list := range values {
		var target *uint64
		switch name {
		case "after":
			target = &after
		case "up_to":
			target = &upTo
		default:
			return 0, 0, badRequest("parameter %q is unknown: want after and up_to", shorten(name))
		}
		if len(list) > 1 {
			return 0, 0, badRequest("parameter %q occurs more than once", name)
		}
		if *target, err = strconv.ParseUint(list[0], 10, 64); err != nil {
			return 0, 0, badRequest("parameter %q must be a sequence, a whole number from 0 on", name)
		}
	}
	return after, upTo, nil
}

const ndjson = "application/x-ndjson"

// lineWriter writes JSON values, one a line. Nothing is sent before the first buffer is full or flushed, so that an error
// before that can still be answered as one.
type lineWriter struct {
	w     http.ResponseWriter
	buf   *bufio.Writer
	enc   *json.Encoder
	begun bool // something was sent
}

func newLineWriter(w http.ResponseWriter) *lineWriter {
	l := &lineWriter{w: w}
	l.buf = bufio.NewWriterSize(l, 32<<10)
	l.enc = json.NewEncoder(l.buf)
	l.enc.SetEscapeHTML(false) // an event stays as it is stored
	return l
}

func (l *lineWriter) write(v any) error { return l.enc.Encode(v) }

// Write sends a full buffer. The server's limit for an answer holds here for each part of it.
func (l *lineWriter) Write(p []byte) (int, error) {
	// The error says that there is no connection with a limit, as in a test.
	_ = http.NewResponseController(l.w).SetWriteDeadline(time.Now().Add(writeTimeout))
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", ndjson)
	}
	return l.w.Write(p)
}
