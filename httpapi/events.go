package httpapi

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// EventReader reads the public events of the log as a replica understands them.
type EventReader interface {
	FollowEvents(ctx context.Context, q node.EventQuery, beat time.Duration, deliver func(node.EventBatch) error) error
	ReadEvents(ctx context.Context, q node.EventQuery, limit int, deliver func(node.EventBatch) error) (node.EventPage, error)
}

const (
	mediaEvents  = "text/event-stream"
	headerCursor = "X-Knell-Cursor"

	// heartbeat is the longest silence of a stream. Proxies take a connection for dead after 30 s and more.
	heartbeat = 15 * time.Second
	// eventTimeout is how long a client may take no byte of a stream.
	eventTimeout = 10 * time.Second
	// eventBuffer is how much is written at once; a client that takes nothing holds one.
	eventBuffer = 32 << 10

	defaultPage = 100
	largestPage = 1000
)

// events serves GET /events.
func (a *api) events(w http.ResponseWriter, r *http.Request) {
	a.serveEvents(w, r, func(*node.EventQuery) error { return nil })
}

// userEvents serves GET /users/{id}/events. One that is deleted, or never was, has a timeline too.
func (a *api) userEvents(w http.ResponseWriter, r *http.Request) {
	a.serveEvents(w, r, func(q *node.EventQuery) error { return setID(&q.User, "id", chi.URLParam(r, "id")) })
}

// sessionEvents serves GET /sessions/{id}/events.
func (a *api) sessionEvents(w http.ResponseWriter, r *http.Request) {
	a.serveEvents(w, r, func(q *node.EventQuery) error { return setID(&q.Session, "id", chi.URLParam(r, "id")) })
}

// serveEvents answers with a stream, or with a page of what there is, as the client accepts. narrow sets what the path says.
func (a *api) serveEvents(w http.ResponseWriter, r *http.Request, narrow func(*node.EventQuery) error) {
	asPage, ok := acceptsPage(r.Header.Values("Accept"))
	if !ok {
		fail(w, r, a.n, errNotAcceptable)
		return
	}
	q, limit, err := eventQuery(r, asPage)
	if err == nil {
		err = narrow(&q)
	}
	switch {
	case err != nil:
		fail(w, r, a.n, err)
	case r.Method == http.MethodHead:
		w.Header().Set("Content-Type", map[bool]string{true: ndjson, false: mediaEvents}[asPage])
	default:
		a.shareEvents(w, r, asPage, func() {
			if asPage {
				a.eventPage(w, r, q, limit)
			} else {
				a.eventStream(w, r, q)
			}
		})
	}
}

// acceptsPage reports whether a client asks for a page, not for a stream, by what it accepts (RFC 9110 section 12.5.1). One that
// takes both gets the stream. ok is false for one that takes neither.
func acceptsPage(accept []string) (page, ok bool) {
	for media := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, _, _ = strings.Cut(media, ";")
		switch strings.ToLower(strings.TrimSpace(media)) {
		case mediaEvents, "*/*", "text/*":
			return false, true
		case ndjson, "application/*":
			page = true
		}
	}
	return page, page || len(accept) == 0
}

// eventQuery returns what the query of a URL and the header Last-Event-ID ask for. Anything that is not understood is an error: whoever
// mistypes a filter would take everything for the part that it asked for.
func eventQuery(r *http.Request, asPage bool) (q node.EventQuery, limit int, err error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, 0, badRequest("the query is malformed")
	}
	limit = defaultPage
	for name, list := range values {
		if name == "type" {
			q.Types = strings.Split(strings.Join(list, ","), ",")
			continue
		}
		if len(list) > 1 {
			return q, 0, badRequest("parameter %q occurs more than once", shorten(name))
		}
		switch value := list[0]; {
		case name == "after":
			err = setPosition(&q.After, "parameter \"after\"", value)
		case name == "since":
			if q.Since, err = time.Parse(time.RFC3339Nano, value); err != nil {
				err = badRequest("parameter \"since\" must be a time as RFC 3339 has it, such as 2026-01-31T12:00:00Z")
			}
		case name == "subject" && value != "":
			q.Subject = value
		case name == "user":
			err = setID(&q.User, name, value)
		case name == "session":
			err = setID(&q.Session, name, value)
		case name == "sealed" && asPage && value == "true":
			q.Sealed = true
		case name == "limit" && asPage:
			if limit, err = strconv.Atoi(value); err != nil || limit < 1 || limit > largestPage {
				err = badRequest("parameter \"limit\" must be a number from 1 to %d", largestPage)
			}
		default:
			err = badRequest("parameter %q is unknown here, or empty", shorten(name))
		}
		if err != nil {
			return q, 0, err
		}
	}
	// A client that reconnects repeats its URL, and says here how far it got.
	switch last := r.Header.Get("Last-Event-ID"); {
	case last != "":
		err = setPosition(&q.After, "Last-Event-ID", last)
	case !asPage && !values.Has("after") && !values.Has("since"):
		q.After = node.EventsFromNow
	}
	return q, limit, err
}

func setPosition(to *uint64, name, text string) error {
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil || seq == node.EventsFromNow {
		return badRequest("%s must be the id of an event, a whole number from 0 on", name)
	}
	*to = seq
	return nil
}

func setID(to *events.ID, name, text string) error {
	id, err := events.ParseID(text)
	if err != nil || id.IsZero() {
		return badRequest("%q must be an id, 26 letters and digits; a name is none", name)
	}
	*to = id
	return nil
}

// eventPage answers with NDJSON: one event a line. How far it goes is in X-Knell-Cursor; with more to come, Link has the next page.
func (a *api) eventPage(w http.ResponseWriter, r *http.Request, q node.EventQuery, limit int) {
	var body []byte
	page, err := a.n.ReadEvents(r.Context(), q, limit, func(b node.EventBatch) error {
		for _, e := range b.Events {
			body = append(e.AppendJSON(body), '\n')
		}
		return nil
	})
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	cursor := strconv.FormatUint(page.To, 10)
	h := w.Header()
	h.Set("Content-Type", ndjson)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set(headerCursor, cursor)
	if page.More {
		values := r.URL.Query()
		values.Set("after", cursor)
		h.Set("Link", "<"+r.URL.EscapedPath()+"?"+values.Encode()+`>; rel="next"`)
	}
	_, _ = w.Write(body)
}

// eventStream answers with Server-Sent Events, until the client goes, its token ends or the replica stops.
func (a *api) eventStream(w http.ResponseWriter, r *http.Request, q node.EventQuery) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(a.streams, func() { cancel(errStopping) })()
	s := &eventWriter{w: w, c: http.NewResponseController(w), clears: r.ProtoMajor > 1}
	if r.ProtoMajor == 1 { // else the connection has other streams as well
		s.conn, _ = r.Context().Value(gathererKey).(gatherer)
	}
	err := a.n.FollowEvents(ctx, q, heartbeat, s.deliver)
	if s.begun { // the end of the answer has to be written, too
		_ = s.c.SetWriteDeadline(time.Now().Add(eventTimeout))
	}
	var slow *node.SlowError
	switch {
	case !s.begun:
		fail(w, r, a.n, err)
	case errors.As(err, &slow):
		s.end("slow", slow.Last)
	case errors.Is(err, errStopping):
		s.end("stopping", s.to)
	case errors.Is(err, node.ErrTrimmed):
		s.end("trimmed", s.to)
	default:
		if s.err == nil && r.Context().Err() == nil {
			a.log.LogAttrs(r.Context(), slog.LevelWarn, "a stream of events ended early", slog.Any("error", err))
		}
		panic(http.ErrAbortHandler) // who still reads must not take it for whole: the request seems to have ended also when the token has
	}
	if s.broken { // net/http does not know, and would go on behind half a chunk
		panic(http.ErrAbortHandler)
	}
}

// errStopping ends streams when their replica stops.
var errStopping = &requestError{unavailable("this replica is stopping")}

// errNotAcceptable answers a client that accepts nothing of what there is.
var errNotAcceptable = &requestError{answer{status: http.StatusNotAcceptable, text: "there is " + mediaEvents + " and " + ndjson}}

// eventWriter writes Server-Sent Events (WHATWG HTML, section 9.2).
type eventWriter struct {
	w      http.ResponseWriter
	c      *http.ResponseController
	conn   gatherer  // nil: there is none
	clears bool      // HTTP/2 ends a stream at its deadline, whether anything is written or not
	until  time.Time // what is written has to be taken by then
	begun  bool
	broken bool // a part of what was written may have been sent
	to     uint64
	err    error // of writing
}

// eventBuffers are shared by all streams: one is needed only while something is written.
var eventBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, eventBuffer+8<<10)
	return &b
}}

// deliver writes a batch and flushes it. An empty one is a heartbeat: its id is the client's new position, by which it does not
// ask again for what does not concern it.
func (s *eventWriter) deliver(b node.EventBatch) error {
	buf := eventBuffers.Get().(*[]byte)
	defer eventBuffers.Put(buf)
	out := (*buf)[:0]
	if !s.begun {
		s.begin()
		out = append(out, "retry: 1000\n"...)
	}
	for _, e := range b.Events {
		out = append(strconv.AppendUint(append(out, "id: "...), e.Seq, 10), "\ndata: "...)
		out = append(e.AppendJSON(out), "\n\n"...)
		if len(out) >= eventBuffer {
			if s.write(out); s.err != nil {
				return s.err
			}
			out = out[:0]
		}
	}
	if len(b.Events) == 0 {
		out = append(strconv.AppendUint(append(out, ":\nid: "...), b.To, 10), "\n\n"...)
	}
	s.write(out)
	if s.err == nil {
		s.to = b.To
	}
	if s.clears {
		s.until = time.Time{}
		_ = s.c.SetWriteDeadline(s.until)
	}
	if cap(out) == cap(*buf) { // a long event is not kept
		*buf = out
	}
	return s.err
}

// begin sends the head of the answer. What limits other requests is lifted; eventTimeout holds for each write.
func (s *eventWriter) begin() {
	s.begun = true
	// The error says that there is no connection with a limit, as in a test.
	_ = s.c.SetReadDeadline(time.Time{})
	h := s.w.Header()
	h.Set("Content-Type", mediaEvents)
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	s.w.WriteHeader(http.StatusOK)
}

// write sends p, with one system call where the connection can do that.
func (s *eventWriter) write(p []byte) {
	// It costs as much as the copying does, and a second more or less is all the same.
	if now := time.Now(); s.until.Sub(now) < eventTimeout-time.Second {
		s.until = now.Add(eventTimeout)
		_ = s.c.SetWriteDeadline(s.until)
	}
	if s.conn != nil {
		s.conn.Gather()
	}
	_, err := s.w.Write(p)
	if err == nil {
		err = s.c.Flush()
	}
	if s.conn != nil {
		if e := s.conn.Send(); e != nil {
			s.broken, err = true, cmp.Or(err, e)
		}
	}
	if s.err == nil {
		s.err = err
	}
}

// end says in a last event why the stream ends and what its last event was. It has no id: a client that reconnects goes on there.
func (s *eventWriter) end(reason string, last uint64) {
	s.write([]byte("event: end\ndata: {\"reason\":\"" + reason + "\",\"last\":\"" + strconv.FormatUint(last, 10) + "\"}\n\n"))
}
