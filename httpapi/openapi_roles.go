package httpapi

import "net/http"

// roleOperations are the administration of what roles give.
func (a *api) roleOperations() []operation {
	return []operation{
		{
			method: http.MethodGet, path: "/roles", serve: a.listRoles,
			summary: "The roles of which was said what they give",
			text:    "A user may have others, which give nothing.",
			replies: []reply{{status: http.StatusOK, text: "The roles, by name.", body: rolesDocument{}}},
		},
		{
			method: http.MethodPut, path: "/roles/{role}", serve: a.setRole,
			summary: "Replace the scopes that a role gives",
			text: "Returns when every replica goes by it: access tokens of those who have the role are out of date then, and their API keys " +
				"can do what they can from then on. None is a role that gives nothing.",
			params: []parameter{{in: "path", name: "role", text: "The role's name.", required: true}, preferWait},
			body: &requestBody{media: mediaJSON, required: true, fields: []field{
				{name: "scopes", value: []string{}, required: true}, fieldReason,
			}},
			replies: append([]reply{{status: http.StatusConflict, text: "It would take the administration from the own account."}}, revocationReplies...),
		},
	}
}
