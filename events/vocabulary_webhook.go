package events

// Webhooks: where public events are sent. What the public records say is where to, and not more of the address: paths and queries
// hold tokens.
const (
	TypeWebhookCreated       Type = "webhook.created"
	TypeWebhookChanged       Type = "webhook.changed"
	TypeWebhookSecretRotated Type = "webhook.secret_rotated"
	TypeWebhookDeleted       Type = "webhook.deleted"
	TypeWebhookPaused        Type = "webhook.paused"
	TypeWebhookResumed       Type = "webhook.resumed"
	TypeWebhookCursorSet     Type = "webhook.cursor_set"

	TypeSecretWebhook       Type = "secret.webhook"
	TypeSecretWebhookSecret Type = "secret.webhook_secret"

	TypeWebhookClaimed  Type = "node.webhook_claimed"
	TypeWebhookProgress Type = "node.webhook_progress"
)

// WebhookCreated is the public record of the SecretWebhook that created a webhook.
type WebhookCreated struct {
	Webhook string
	Origin  string // scheme, host and port of the address
	Secret  uint64
}

// WebhookChanged is the public record of one that replaced it.
type WebhookChanged struct {
	Webhook string
	Origin  string // scheme, host and port of the address
	Secret  uint64
}

// WebhookSecretRotated is the public record of SecretWebhookSecret.
type WebhookSecretRotated struct {
	Webhook string
	Secret  uint64
}

// WebhookDeleted ends a webhook. No delivery starts after it.
type WebhookDeleted struct{ Webhook string }

// WebhookPaused stops a webhook until WebhookResumed. No delivery starts after it. Its envelope's reason says more.
type WebhookPaused struct {
	Webhook string
	Cause   string // "operator"; "failing": nothing was delivered for too long; "gone": the target said 410; "trimmed": what is next is not in the log any more
	Claim   uint64 // sequence of the claim under which it was decided; 0: by an operator, valid whoever delivers
}

// WebhookResumed lifts a WebhookPaused.
type WebhookResumed struct {
	Webhook    string
	WebhookSeq uint64
}

// WebhookCursorSet has a webhook go on after another position of the log: to send again what was sent, or to leave out what was not.
type WebhookCursorSet struct {
	Webhook    string
	Cursor     uint64 // the events after this sequence are sent
	WebhookSeq uint64
}

// SecretWebhook creates a webhook, or replaces all but its secret and its cursor.
type SecretWebhook struct {
	Webhook     string
	Address     string
	Origin      string // scheme, host and port of it
	Description string
	Types       []string // beginnings of types; none: all
	About       string   // only events with this subject
	User        ID       // only the timeline of this user
	Private     bool     // the target may have a private address, where the operator allows it
	Paused      bool     // it is created so
	Key         []byte   // that signs the deliveries (Standard Webhooks), 24 to 64 bytes; none: as before
	Cursor      uint64   // where a new one begins
	WebhookSeq  uint64   // newest sequence of the record that it replaces; 0: it creates one
}

// SecretWebhookSecret gives a webhook a new key. The old one signs as well until OldExpires.
type SecretWebhookSecret struct {
	Webhook    string
	Key        []byte
	OldExpires int64
	WebhookSeq uint64
}

// WebhookClaimed says which replica delivers. It holds until the next one, or until what it was made for is changed.
type WebhookClaimed struct {
	Webhook     string
	Incarnation ID
	Claim       uint64 // sequence of the claim before it; 0: nobody has one
}

// WebhookProgress says how far deliveries have got, in the words of the replica that makes them. It may be lost.
type WebhookProgress struct{ Hooks []HookProgress }

// HookProgress is that of one webhook.
type HookProgress struct {
	Webhook  string
	Claim    uint64 // sequence of the claim under which it was made
	Cursor   uint64 // everything up to here that is asked for has been delivered
	Success  int64  // newest delivery, Unix seconds as all times here
	Failing  int64  // first failure since; 0: none
	Attempts uint32 // at the event that is next
	RetryAt  int64
	Error    string // of the newest attempt
}

// Type implements Payload.
func (*WebhookCreated) Type() Type       { return TypeWebhookCreated }
func (*WebhookChanged) Type() Type       { return TypeWebhookChanged }
func (*WebhookSecretRotated) Type() Type { return TypeWebhookSecretRotated }
func (*WebhookDeleted) Type() Type       { return TypeWebhookDeleted }
func (*WebhookPaused) Type() Type        { return TypeWebhookPaused }
func (*WebhookResumed) Type() Type       { return TypeWebhookResumed }
func (*WebhookCursorSet) Type() Type     { return TypeWebhookCursorSet }
func (*SecretWebhook) Type() Type        { return TypeSecretWebhook }
func (*SecretWebhookSecret) Type() Type  { return TypeSecretWebhookSecret }
func (*WebhookClaimed) Type() Type       { return TypeWebhookClaimed }
func (*WebhookProgress) Type() Type      { return TypeWebhookProgress }

// newWebhookPayload returns an empty payload for a type of this file, or what newNextPayload does.
func newWebhookPayload(t Type) Payload {
	switch t {
	case TypeWebhookCreated:
		return new(WebhookCreated)
	case TypeWebhookChanged:
		return new(WebhookChanged)
	case TypeWebhookSecretRotated:
		return new(WebhookSecretRotated)
	case TypeWebhookDeleted:
		return new(WebhookDeleted)
	case TypeWebhookPaused:
		return new(WebhookPaused)
	case TypeWebhookResumed:
		return new(WebhookResumed)
	case TypeWebhookCursorSet:
		return new(WebhookCursorSet)
	case TypeSecretWebhook:
		return new(SecretWebhook)
	case TypeSecretWebhookSecret:
		return new(SecretWebhookSecret)
	case TypeWebhookClaimed:
		return new(WebhookClaimed)
	case TypeWebhookProgress:
		return new(WebhookProgress)
	}
	return newRetentionPayload(t)
}

// webhookOf returns the webhook that p is about, if it is one of this file.
func webhookOf(p Payload) (name string, ok bool) {
	switch p := p.(type) {
	case *WebhookCreated:
		return p.Webhook, true
	case *WebhookChanged:
		return p.Webhook, true
	case *WebhookSecretRotated:
		return p.Webhook, true
	case *WebhookDeleted:
		return p.Webhook, true
	case *WebhookPaused:
		return p.Webhook, true
	case *WebhookResumed:
		return p.Webhook, true
	case *WebhookCursorSet:
		return p.Webhook, true
	case *SecretWebhook:
		return p.Webhook, true
	case *SecretWebhookSecret:
		return p.Webhook, true
	}
	return "", false
}

// webhookExamples are those of Types.
func webhookExamples(user, life ID, at int64, key func(string) []byte) []Payload {
	const name, origin = "siem", "https://siem.example.com"
	return []Payload{
		&WebhookCreated{Webhook: name, Origin: origin, Secret: 30},
		&WebhookChanged{Webhook: name, Origin: origin, Secret: 32},
		&WebhookSecretRotated{Webhook: name, Secret: 34},
		&WebhookDeleted{Webhook: name},
		&WebhookPaused{Webhook: name, Cause: "failing", Claim: 36},
		&WebhookResumed{Webhook: name, WebhookSeq: 38},
		&WebhookCursorSet{Webhook: name, Cursor: 17, WebhookSeq: 39},
		&SecretWebhook{Webhook: name, Address: origin + "/in?token=made-up", Origin: origin, Description: "all that ends", Types: []string{"revoked"}, About: user.String(),
			User: user, Private: true, Paused: true, Key: key("signing key"), Cursor: 29, WebhookSeq: 30},
		&SecretWebhookSecret{Webhook: name, Key: key("signing key 2"), OldExpires: at + 86400, WebhookSeq: 32},
		&WebhookClaimed{Webhook: name, Incarnation: life, Claim: 36},
		&WebhookProgress{Hooks: []HookProgress{{Webhook: name, Claim: 40, Cursor: 42, Success: at, Failing: at + 5, Attempts: 2, RetryAt: at + 9, Error: "status 503"}}},
	}
}
