package events

// Codes, API keys, changes of accounts and clients, and attempts.
const (
	TypeCodeIssued Type = "session.code_issued"

	TypeAPIKeyRevoked Type = "revoked.api_key"
	TypeGrantRevoked  Type = "revoked.grant"

	TypeUserChanged         Type = "account.user_changed"
	TypeClientChanged       Type = "account.client_changed"
	TypeClientEnabled       Type = "account.client_enabled"
	TypeClientSecretRotated Type = "account.client_secret_rotated"
	TypeAPIKeyCreated       Type = "account.api_key_created"
	TypeAPIKeyRotated       Type = "account.api_key_rotated"
	TypeAPIKeyUsed          Type = "account.api_key_used"
	TypeRoleScopes          Type = "account.role_scopes"
	TypeEventsGranted       Type = "account.events_granted"

	TypeAttemptStarted   Type = "attempt.started"
	TypeAttemptsForgiven Type = "attempt.forgiven"
	TypeLockedOut        Type = "attempt.locked_out"

	TypeSecretProfile       Type = "secret.profile"
	TypeSecretClientSecret  Type = "secret.client_secret"
	TypeSecretAPIKey        Type = "secret.api_key"
	TypeSecretAPIKeyRotated Type = "secret.api_key_rotated"
)

// CodeIssued is an authorization code (RFC 6749 section 4.1.2). Code is the start of a hash of it, which finds its record and
// tells nothing; the code has 192 random bits. What it was issued for beyond this (redirect URI, challenge, nonce) is in the
// code itself, which the hash binds.
type CodeIssued struct {
	Code      ID
	User      ID
	Client    string
	Scope     []string
	IssuedAt  int64 // Unix seconds, as all times here; the user proved who it is at this time
	Expires   int64
	UserSeq   uint64
	ClientSeq uint64
}

// APIKeyRevoked ends an API key.
type APIKeyRevoked struct{ Key ID }

// UserChanged is the public record of SecretProfile.
type UserChanged struct {
	User   ID
	Secret uint64 // sequence of the secret event that this records
}

// ClientChanged replaces what a client is called and may do.
type ClientChanged struct {
	Client    string
	Name      string
	Scope     []string
	Redirects []string // exact redirect URIs
	ClientSeq uint64
}

// ClientEnabled lifts a "disabled".
type ClientEnabled struct {
	Client    string
	ClientSeq uint64
}

// ClientSecretRotated is the public record of SecretClientSecret.
type ClientSecretRotated struct {
	Client string
	Secret uint64
}

// APIKeyCreated is the public record of SecretAPIKey.
type APIKeyCreated struct {
	Key     ID
	User    ID
	Scope   []string
	Expires int64 // 0: never
	Secret  uint64
}

// APIKeyRotated is the public record of SecretAPIKeyRotated.
type APIKeyRotated struct {
	Key    ID
	User   ID
	Secret uint64
}

// APIKeyUsed says that a key was used. It is written at most once in a while for each key, and may be lost.
type APIKeyUsed struct {
	Key    ID
	User   ID
	UsedAt int64
}

// RoleScopes replaces the scopes that a role gives to whoever has it. Access tokens of theirs that were issued before it are
// stale.
type RoleScopes struct {
	Role    string
	Scope   []string
	RoleSeq uint64 // sequence of the RoleScopes that this replaces; 0: there is none
}

// EventsGranted lets somebody outside read all public events over NATS. The durable consumer that is made for it bears the name of
// the grant, a hyphen and the sequence of this event.
type EventsGranted struct {
	Grant string // what it is called: 1 to 32 of a-z, 0-9 and hyphens
	Key   string // public NKey of whoever reads
	After uint64 // the first event is one after this sequence
}

// GrantRevoked ends a grant.
type GrantRevoked struct {
	Grant string // what it is called
}

// AttemptStarted reserves one guess of a password before it is looked at. It counts as a failure until a session starts. The
// envelope has the address. User is zero for a name that no user has, and for an OAuth client; NameHash is then a keyed hash of
// what was named. Free and MaxDelay are the limits of the replica that wrote it: the fold judges the guess by them, so that
// replicas may differ in their settings and not in their state.
type AttemptStarted struct {
	User     ID
	NameHash ID
	Free     uint32 // failures that cost no delay
	MaxDelay int64  // longest delay, in seconds
}

// AttemptsForgiven says that a guess was right though no session starts: the failures that were counted for User or NameHash
// at the envelope's address are taken back. With Everywhere, all that was counted for User is, by whoever administers it.
type AttemptsForgiven struct {
	User       ID
	NameHash   ID
	Everywhere bool
}

// LockedOut says that delays begin: no guess is accepted before Until, and each failure doubles the time to the next one. It is
// written once for each such time. User and NameHash as in AttemptStarted; both are zero when it is an address that has to
// wait.
type LockedOut struct {
	User     ID
	NameHash ID
	Until    int64
}

// SecretProfile replaces what a user is called.
type SecretProfile struct {
	User     ID
	Name     string // login name, normalised
	Email    string
	FullName string
	UserSeq  uint64
}

// SecretClientSecret gives a client a new secret. The old one is good until OldExpires.
type SecretClientSecret struct {
	Client     string
	Hash       string // PHC string
	OldExpires int64
	ClientSeq  uint64
}

// SecretAPIKey creates an API key.
type SecretAPIKey struct {
	Key     ID
	User    ID
	Name    string // what its owner calls it
	Scope   []string
	Expires int64  // 0: never
	Digest  []byte // SHA-256 of the key
	UserSeq uint64
}

// SecretAPIKeyRotated replaces the secret of an API key. The old one is good until OldExpires.
type SecretAPIKeyRotated struct {
	Key        ID
	User       ID
	Digest     []byte // SHA-256 of the new key
	OldExpires int64
	KeySeq     uint64 // newest sequence of the key's record
}

// Type implements Payload.
func (*CodeIssued) Type() Type          { return TypeCodeIssued }
func (*APIKeyRevoked) Type() Type       { return TypeAPIKeyRevoked }
func (*UserChanged) Type() Type         { return TypeUserChanged }
func (*ClientChanged) Type() Type       { return TypeClientChanged }
func (*ClientEnabled) Type() Type       { return TypeClientEnabled }
func (*ClientSecretRotated) Type() Type { return TypeClientSecretRotated }
func (*APIKeyCreated) Type() Type       { return TypeAPIKeyCreated }
func (*APIKeyRotated) Type() Type       { return TypeAPIKeyRotated }
func (*APIKeyUsed) Type() Type          { return TypeAPIKeyUsed }
func (*RoleScopes) Type() Type          { return TypeRoleScopes }
func (*EventsGranted) Type() Type       { return TypeEventsGranted }
func (*GrantRevoked) Type() Type        { return TypeGrantRevoked }
func (*AttemptStarted) Type() Type      { return TypeAttemptStarted }
func (*AttemptsForgiven) Type() Type    { return TypeAttemptsForgiven }
func (*LockedOut) Type() Type           { return TypeLockedOut }
func (*SecretProfile) Type() Type       { return TypeSecretProfile }
func (*SecretClientSecret) Type() Type  { return TypeSecretClientSecret }
func (*SecretAPIKey) Type() Type        { return TypeSecretAPIKey }
func (*SecretAPIKeyRotated) Type() Type { return TypeSecretAPIKeyRotated }
