package httpapi

import (
	"net/http"

	"github.com/knell-auth/knell/node"
)

// healthOperations are those that say how the replica is.
func (a *api) healthOperations() []operation {
	return []operation{
		{
			method: http.MethodGet, path: "/livez", serve: a.livez,
			summary: "Whether the process answers",
			replies: []reply{{status: http.StatusOK, text: "It does.", media: mediaText}},
		},
		{
			method: http.MethodGet, path: "/readyz", serve: a.readyz,
			summary: "Whether this replica may answer",
			text: "For load balancers: a replica without a lease answers no question about tokens. After a start it is red until the replica's copy of the log is whole, too: until " +
				"then no other replica should be stopped.",
			replies: []reply{{status: http.StatusOK, text: "It may.", media: mediaText}, replyUnavailable},
		},
		{
			method: http.MethodGet, path: "/status", serve: a.publicStatus,
			summary: "How this replica stands in the log",
			replies: []reply{{status: http.StatusOK, text: "Its position, its lease and its peers.", body: publicStatusDocument{}}},
		},
		{
			method: http.MethodGet, path: "/admin", serve: a.fullStatus, guard: guardScope, scope: node.AdminScope,
			summary: "All that this replica says about itself",
			replies: []reply{{status: http.StatusOK, text: "What /status says, and how much there is of everything.", body: fullStatusDocument{}}},
		},
	}
}
