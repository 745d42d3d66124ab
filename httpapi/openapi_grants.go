package httpapi

import "net/http"

// grantOperations are the administration of who reads events over NATS.
func (a *api) grantOperations() []operation {
	list := []operation{
		{
			method: http.MethodGet, path: "/event-grants", serve: a.listGrants,
			summary: "Who may read the public events over NATS, and how far each reader is",
			replies: []reply{{status: http.StatusOK, text: "The grants, by name.", body: grantsDocument{}}},
		},
		{
			method: http.MethodPost, path: "/event-grants", serve: a.grantEvents,
			summary: "Let somebody read the public events over NATS",
			text: "Returns when every replica knows it and the durable consumer is there. To repeat it, with the same key and position, makes a " +
				"consumer that is missing.",
			body: &requestBody{media: mediaJSON, required: true, fields: []field{
				{name: "name", value: "", required: true, text: "1 to 32 of a-z, 0-9 and hyphens."},
				{name: "nkey", value: "", required: true, text: "The public NKey of whoever reads, who keeps the seed."},
				{name: "after", value: int64(0), text: "Events after this sequence; 0, or nothing: all that the log has."},
				{name: "since", value: "", text: "Events from this time on (RFC 3339), to a minute or two, instead of `after`."},
				fieldReason,
			}},
			replies: []reply{
				{status: http.StatusCreated, text: "The grant.", body: grantDocument{}},
				{status: http.StatusConflict, text: "The name or the key has another grant."},
			},
		},
		{
			method: http.MethodDelete, path: "/event-grants/{name}", serve: a.revokeGrant,
			summary: "End a grant",
			text:    "Returns when no replica serves its reader any more, and its consumer is gone.",
			params:  []parameter{{in: "path", name: "name", text: "The grant's name.", required: true}, preferWait},
			replies: append([]reply{{status: http.StatusNotFound, text: "There is no such grant."}}, revocationReplies...),
		},
	}
	return list
}
