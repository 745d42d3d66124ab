package events

import (
	"crypto/sha256"
	"strings"
)

// The subjects of the log. Consumers may read below subjectEvents; subjectSecret and subjectNode are for replicas.
const (
	subjectEvents = "knell.event."
	subjectSecret = "knell.secret."
	subjectNode   = "knell.node."
)

// ReaderInbox begins the reply subjects of those who read events; behind it stands the name of their grant.
const ReaderInbox = "_EVENTS."

// Access says who may read a message of the log. The zero value is nobody but the replicas.
type Access uint8

const (
	// Secret messages hold hashes of passwords and of client secrets.
	Secret Access = iota
	// Internal messages are what replicas say about themselves to each other.
	Internal
	// Public messages are for everybody who may read events.
	Public
)

// AccessTo returns who may read what is on a NATS subject of the log.
func AccessTo(subject string) Access {
	switch {
	case strings.HasPrefix(subject, subjectEvents):
		return Public
	case strings.HasPrefix(subject, subjectNode):
		return Internal
	}
	return Secret
}

// Subject returns the NATS subject on which e travels, by its payload and, for what a node says of itself, by its node
// name. Nothing that a user or an OAuth client chose stands in it.
func Subject(e *Event) string {
	typ := e.Data.Type()
	family, kind, _ := strings.Cut(string(typ), ".")
	switch family {
	case "revoked":
		return subjectEvents + string(typ)
	case "log":
		return subjectSecret + "log" // it has the key of hashed user names
	case "node":
		return subjectNode + e.Node
	case "secret":
		return bucketed(subjectSecret, e.Data)
	case "session", "account", "attempt", "webhook":
		return bucketed(subjectEvents+family+".", e.Data)
	}
	panic("events: type " + family + "." + kind + " has no subject")
}

// bucketed returns prefix and the bucket of the user or OAuth client that p is about: the first 12 bits of SHA-256 over
// the text of the id, in hexadecimal. Events that name neither are put into the bucket of the session, of the hashed user
// name, of the role or of the grant.
func bucketed(prefix string, p Payload) string {
	var text [64]byte
	h := sha256.Sum256(appendOwner(text[:0], p))
	b := make([]byte, 0, 40)
	b = append(b, prefix...)
	b = append(b, hexDigits[h[0]>>4], hexDigits[h[0]&15], hexDigits[h[1]>>4])
	return string(b)
}

// appendOwner appends the id of the one that p is about.
func appendOwner(b []byte, p Payload) []byte {
	switch p := p.(type) {
	case *SessionStarted:
		return p.User.AppendText(b)
	case *SessionRefreshed:
		return p.Session.AppendText(b)
	case *RefreshReplayed:
		return p.Session.AppendText(b)
	case *ClientToken:
		return append(b, p.Client...)
	case *UserCreated:
		return p.User.AppendText(b)
	case *UserEnabled:
		return p.User.AppendText(b)
	case *UserRolesChanged:
		return p.User.AppendText(b)
	case *PasswordChanged:
		return p.User.AppendText(b)
	case *ClientCreated:
		return append(b, p.Client...)
	case *LoginFailed:
		return appendAttempted(b, p.User, p.NameHash)
	case *SecretUser:
		return p.User.AppendText(b)
	case *SecretPassword:
		return p.User.AppendText(b)
	case *SecretRehash:
		return p.User.AppendText(b)
	case *SecretClient:
		return append(b, p.Client...)
	}
	return appendAccessOwner(b, p)
}

func appendAccessOwner(b []byte, p Payload) []byte {
	switch p := p.(type) {
	case *CodeIssued:
		return p.User.AppendText(b)
	case *UserChanged:
		return p.User.AppendText(b)
	case *ClientChanged:
		return append(b, p.Client...)
	case *ClientEnabled:
		return append(b, p.Client...)
	case *ClientSecretRotated:
		return append(b, p.Client...)
	case *APIKeyCreated:
		return p.User.AppendText(b)
	case *APIKeyRotated:
		return p.User.AppendText(b)
	case *APIKeyUsed:
		return p.User.AppendText(b)
	case *RoleScopes:
		return append(b, p.Role...)
	case *EventsGranted:
		return append(b, p.Grant...)
	case *AttemptStarted:
		return appendAttempted(b, p.User, p.NameHash)
	case *AttemptsForgiven:
		return appendAttempted(b, p.User, p.NameHash)
	case *LockedOut:
		return appendAttempted(b, p.User, p.NameHash)
	case *SecretProfile:
		return p.User.AppendText(b)
	case *SecretClientSecret:
		return append(b, p.Client...)
	case *SecretAPIKey:
		return p.User.AppendText(b)
	case *SecretAPIKeyRotated:
		return p.User.AppendText(b)
	}
	if name, ok := webhookOf(p); ok {
		return append(b, name...)
	}
	panic("events: " + string(p.Type()) + " has no owner")
}

// appendAttempted appends whose account was tried: a user, or else a name that nobody has.
func appendAttempted(b []byte, user, nameHash ID) []byte {
	if user.IsZero() {
		return nameHash.AppendText(b)
	}
	return user.AppendText(b)
}
