package httpapi

import "net/http"

// eventOperations are the reading of public events.
func (a *api) eventOperations() []operation {
	list := []operation{
		{
			path: "/events", serve: a.events, summary: "The public events, as a stream or in pages",
			params: []parameter{
				{in: "query", name: "user", text: "The timeline of this user (an id): events that name it, or whose subject or actor it is."},
				{in: "query", name: "session", text: "The timeline of this session (an id): events that name it, and what ended it."},
			},
		},
		{
			path: "/users/{id}/events", serve: a.userEvents, summary: "The timeline of a user",
			params: []parameter{
				{in: "path", name: "id", text: "The user's id; also of one that was deleted.", required: true},
				{in: "query", name: "session", text: "Only what belongs to the timeline of this session as well."},
			},
		},
		{
			path: "/sessions/{id}/events", serve: a.sessionEvents, summary: "The timeline of a session",
			params: []parameter{
				{in: "path", name: "id", text: "The session's id; also of one that has ended.", required: true},
				{in: "query", name: "user", text: "Only what belongs to the timeline of this user as well."},
			},
		},
	}
	for i := range list {
		op := &list[i]
		op.method, op.guard, op.scope, op.stream = http.MethodGet, guardScope, "audit", true
		op.text = "With `Accept: text/event-stream`, or none, Server-Sent Events: `id` is the sequence in the log, `data` the CloudEvent. The stream " +
			"ends with its token, or with an event `end` that says why and which event was the last. With `Accept: application/x-ndjson` a page, " +
			"one CloudEvent a line. docs/events.md has the types."
		op.params = append(op.params,
			parameter{in: "query", name: "after", text: "Events after this sequence; 0: all that there are. A stream without it and without `since` begins with what comes."},
			parameter{in: "header", name: "Last-Event-ID", text: "As `after`, which it overrides: what clients send that reconnect."},
			parameter{in: "query", name: "since", text: "Events from this time on (RFC 3339)."},
			parameter{in: "query", name: "type", text: "Beginnings of types, such as `revoked` or `session.started`; several are separated by commas."},
			parameter{in: "query", name: "subject", text: "Events with this subject."},
			parameter{in: "query", name: "sealed", text: "`true`: a page also has, in their places, the salted hashes of events that nobody may read; without filters only."},
			parameter{in: "query", name: "limit", text: "How many events a page has at most, up to 1000; 100 when it is left away."})
		op.replies = []reply{
			{status: http.StatusOK, text: "Events.", media: mediaEvents, other: ndjson, headers: []string{headerCursor, "Link"}},
			{status: http.StatusNotAcceptable, text: "Neither of the two media types is accepted."},
			{status: http.StatusGone, text: "The log does not go back so far any more."},
			{status: http.StatusTooManyRequests, text: "Too many requests for events are under way, of this identity or of all.", headers: []string{"Retry-After"}},
		}
	}
	return list
}
