package httpapi

import "net/http"

var (
	pathWebhook     = parameter{in: "path", name: "name", text: "The webhook's name.", required: true}
	replyNoWebhook  = reply{status: http.StatusNotFound, text: "There is no such webhook."}
	fieldsOfWebhook = []field{
		{name: "description", value: ""},
		{name: "types", value: []string{}, text: "Beginnings of types, such as `revoked` or `session.started`. None: all public events."},
		{name: "subject", value: "", text: "Only events with this subject."},
		{name: "user", value: "", text: "Only the timeline of this user (an id)."},
		{name: "allow_private", value: false, text: "The target may have an address that is not public, where the operator allows it, and do without https."},
		{name: "enabled", value: false, text: "Whether events are sent; true when it is left away."},
		fieldReason,
	}
)

// webhookOperations are the administration of webhooks.
func (a *api) webhookOperations() []operation {
	return []operation{
		{
			method: http.MethodGet, path: "/webhooks", serve: a.listWebhooks,
			summary: "List webhooks",
			replies: []reply{{status: http.StatusOK, text: "The webhooks.", body: webhooksDocument{}}},
		},
		{
			method: http.MethodPost, path: "/webhooks", serve: a.createWebhook,
			summary: "Create a webhook",
			text:    "Events are sent from then on, or after a sequence, signed as Standard Webhooks with the secret that this answer alone has.",
			body: &requestBody{media: mediaJSON, required: true, fields: append([]field{
				{name: "name", value: "", required: true}, {name: "url", value: "", required: true, text: "Where events are sent, with https."},
				{name: "secret", value: "", text: "`whsec_` and the base64 of 24 to 64 bytes; without it one is made."},
				{name: "after", value: "", text: "The events after this sequence; \"0\": all that there are. Those to come, when it is left away."},
			}, fieldsOfWebhook...)},
			replies: []reply{
				{status: http.StatusCreated, text: "The webhook, and its secret.", body: newWebhookSecret{}, headers: []string{"Location"}}, replyTaken,
			},
		},
		{
			method: http.MethodGet, path: "/webhooks/{name}", serve: a.showWebhook,
			summary: "A webhook, and how far its deliveries have got",
			params:  []parameter{pathWebhook},
			replies: []reply{{status: http.StatusOK, text: "The webhook.", body: webhookDocument{}}, replyNoWebhook},
		},
		{
			method: http.MethodPatch, path: "/webhooks/{name}", serve: a.updateWebhook,
			summary: "Change a webhook",
			text:    "What is not named stays. When it returns, nothing is sent any more by what was before.",
			params:  []parameter{pathWebhook},
			body: &requestBody{media: mediaJSON, required: true, fields: append([]field{
				{name: "url", value: "", text: "Where events are sent, with https."},
			}, fieldsOfWebhook...)},
			replies: []reply{{status: http.StatusOK, text: "The webhook.", body: webhookDocument{}}, replyNoWebhook},
		},
		{
			method: http.MethodPost, path: "/webhooks/{name}/secret", serve: a.rotateWebhook,
			summary: "Replace the secret of a webhook",
			text:    "For a while deliveries carry a signature by the old one as well.",
			params:  []parameter{pathWebhook},
			body: &requestBody{media: mediaJSON, fields: []field{
				{name: "secret", value: ""}, {name: "overlap_seconds", value: int64(0), text: "How long the old one signs; a day when it is left away."}, fieldReason,
			}},
			replies: []reply{{status: http.StatusOK, text: "The webhook, and its secret.", body: newWebhookSecret{}}, replyNoWebhook},
		},
		{
			method: http.MethodPost, path: "/webhooks/{name}/replay", serve: a.replayWebhook,
			summary: "Send the events after a sequence again, or leave out those before it",
			params:  []parameter{pathWebhook, preferWait},
			body: &requestBody{media: mediaJSON, required: true, fields: []field{
				{name: "after", value: "", required: true, text: "A sequence; \"0\": before the oldest event that the log has."}, fieldReason,
			}},
			replies: append([]reply{replyNoWebhook}, revocationReplies...),
		},
		{
			method: http.MethodPost, path: "/webhooks/{name}/test", serve: a.testWebhook,
			summary: "Send an event of the type knell.webhook.test, which is in no log, once",
			text:    "Also while the webhook is paused.",
			params:  []parameter{pathWebhook},
			body:    &requestBody{media: mediaJSON, fields: []field{fieldReason}},
			replies: []reply{{status: http.StatusOK, text: "What came of it.", body: webhookTestDocument{}}, replyNoWebhook},
		},
		webhookCommandOperation(http.MethodDelete, "", "Delete a webhook", a.webhookCommand(a.n.DeleteWebhook)),
		webhookCommandOperation(http.MethodPost, "/pause", "Stop a webhook", a.webhookCommand(a.n.PauseWebhook)),
		webhookCommandOperation(http.MethodPost, "/resume", "Let a webhook go on where it stopped", a.webhookCommand(a.n.ResumeWebhook)),
	}
}

// webhookCommandOperation describes a command upon /webhooks/{name} with the rest of a path behind it.
func webhookCommandOperation(method, rest, summary string, serve http.HandlerFunc) operation {
	return operation{
		method: method, path: "/webhooks/{name}" + rest, serve: serve, summary: summary,
		text:    "Returns when every replica follows it: no delivery starts after a webhook was deleted or stopped.",
		params:  []parameter{pathWebhook, preferWait},
		body:    &requestBody{media: mediaJSON, fields: []field{fieldReason}},
		replies: append([]reply{replyNoWebhook}, revocationReplies...),
	}
}
