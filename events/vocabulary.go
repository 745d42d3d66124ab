package events

// Type names what happened. On the wire it is prefixed with "knell.".
type Type string

// The vocabulary. docs/design.md section 2 says on which subject each one travels.
const (
	TypeLogStarted Type = "log.started"

	TypeSessionStarted   Type = "session.started"
	TypeSessionRefreshed Type = "session.refreshed"
	TypeRefreshReplayed  Type = "session.refresh_replayed"
	TypeClientToken      Type = "session.client_token"

	TypeSessionRevoked    Type = "revoked.session"
	TypeUserRevoked       Type = "revoked.user"
	TypeClientRevoked     Type = "revoked.client"
	TypeSigningKeyRevoked Type = "revoked.signing_key"
	TypeAllRevoked        Type = "revoked.everything"

	TypeUserCreated      Type = "account.user_created"
	TypeUserEnabled      Type = "account.user_enabled"
	TypeUserRolesChanged Type = "account.user_roles_changed"
	TypePasswordChanged  Type = "account.password_changed"
	TypeClientCreated    Type = "account.client_created"

	TypeLoginFailed Type = "attempt.login_failed"

	TypeSecretUser     Type = "secret.user"
	TypeSecretPassword Type = "secret.password"
	TypeSecretRehash   Type = "secret.rehash"
	TypeSecretClient   Type = "secret.client"

	TypeNodeJoined Type = "node.joined"
	TypeNodeBeat   Type = "node.beat"
	TypeNodeLeft   Type = "node.left"
	TypeNodeKey    Type = "node.signing_key"

	TypeLevelRaised Type = "node.level_raised"
)

// A Payload is the data of one event type. The set is closed: fields is not exported, and the only implementations are
// the structs of this package.
type Payload interface {
	// Type returns the event type that carries this payload.
	Type() Type
	// fields names each field once, for encoding and for decoding.
	fields(*codec)
}

// LogStarted is the first event of a log. The first one in the log sets its epoch (the ID of the event's envelope
// attribute Epoch); later ones are void.
type LogStarted struct {
	HashKey []byte // 32 bytes; keys the hashes of user names, so that equal names hash alike on all replicas
}

// SessionStarted is a login. Times are Unix seconds.
type SessionStarted struct {
	Session       ID
	User          ID
	Client        string // OAuth client id, "" for a first-party login
	Scope         []string
	IssuedAt      int64  // iat and auth_time of the first access token
	AccessExpires int64  // exp of the first access token
	IdleExpires   int64  // the first refresh token ends here
	Expires       int64  // no refresh reaches beyond this
	UserSeq       uint64 // newest sequence of the user record that the login was validated against
	ClientSeq     uint64 // the same of the client's record; 0 for a first-party login

	Code     ID    // the authorization code that was redeemed; zero for a login without one
	AuthTime int64 // when the user proved who it is; 0: at IssuedAt
	Remember bool  // the longer of the two lifetimes applies, also at each refresh
}

// SessionRefreshed is one rotation of a session's refresh token.
type SessionRefreshed struct {
	Session       ID
	Generation    uint32 // the generation that this event creates
	IssuedAt      int64
	AccessExpires int64
	IdleExpires   int64
	SessionSeq    uint64 // newest sequence of the session record that this was validated against
	UserSeq       uint64
	ClientSeq     uint64 // 0 for a first-party session
	Key           string // signing key of the refresh token that was presented
}

// RefreshReplayed says that the predecessor of an unused generation was presented again within the grace window, and
// that the same successor was given again.
type RefreshReplayed struct {
	Session    ID
	Generation uint32 // the successor that was given again
	SessionSeq uint64
	Key        string // as in SessionRefreshed
}

// ClientToken is an access token given to an OAuth client for itself (RFC 6749 section 4.4). Session identifies the token.
type ClientToken struct {
	Session       ID
	Client        string
	Scope         []string
	IssuedAt      int64
	AccessExpires int64
	ClientSeq     uint64
}

// SessionRevoked ends one session.
type SessionRevoked struct {
	Session ID
	User    ID // whose session it must be; zero: anybody's
}

// UserRevoked ends all sessions of a user that started before it. Cause is "" (sessions only), "disabled" or "deleted".
type UserRevoked struct {
	User    ID
	Cause   string
	UserSeq uint64 // 0: valid whatever happened to the user meanwhile
	Except  ID     // a session that goes on; zero: none
}

// ClientRevoked ends all sessions and tokens of an OAuth client that started before it. Cause as in UserRevoked.
type ClientRevoked struct {
	Client    string
	Cause     string
	ClientSeq uint64
}

// SigningKeyRevoked makes every token invalid that was signed with the keys that a NodeKey published under this kid: access tokens
// and refresh tokens.
type SigningKeyRevoked struct{ Key string }

// AllRevoked ends every session.
type AllRevoked struct{}

// UserCreated is the public record of SecretUser.
type UserCreated struct {
	User   ID
	Roles  []string
	Secret uint64 // sequence of the secret event that this records
}

// UserEnabled lifts a "disabled".
type UserEnabled struct {
	User    ID
	UserSeq uint64
}

// UserRolesChanged replaces roles and scopes. Access tokens issued before it are stale.
type UserRolesChanged struct {
	User    ID
	Roles   []string
	Scope   []string
	UserSeq uint64
}

// PasswordChanged is the public record of SecretPassword, which itself ends the older sessions.
type PasswordChanged struct {
	User   ID
	Secret uint64
	Except ID // the session that goes on; zero: none
}

// ClientCreated is the public record of SecretClient.
type ClientCreated struct {
	Client string
	Secret uint64
}

// LoginFailed is a refused login. User is zero for a name that no user has; NameHash is then a keyed hash, because people
// type passwords into name fields.
type LoginFailed struct {
	User     ID
	NameHash ID
	Cause    string // "password", "unknown", "disabled"
}

// SecretUser creates a user. It travels on a subject that consumers cannot read.
type SecretUser struct {
	User  ID
	Name  string // login name, normalised
	Hash  string // PHC string or bcrypt
	Roles []string
	Scope []string // what the user may be granted

	Disabled bool // created so: nobody can log in until account.user_enabled
	First    bool // the first administrator: void when there is one

	Email    string
	FullName string
}

// SecretPassword sets a password and ends the user's older sessions at its own sequence.
type SecretPassword struct {
	User    ID
	Hash    string
	UserSeq uint64
	Except  ID // the session in which the user changed it, which goes on; zero: none
}

// SecretRehash stores the same password under a newer hash; no session ends.
type SecretRehash struct {
	User    ID
	Hash    string
	UserSeq uint64
}

// SecretClient creates an OAuth client.
type SecretClient struct {
	Client    string
	Name      string
	Hash      string // PHC string; "" for a public client
	Scope     []string
	Redirects []string // exact redirect URIs
}

// NodeJoined says that a new life of a replica begins. Replaces names the life before it of the same data directory: it
// is proven gone, because the directory is locked.
type NodeJoined struct {
	Incarnation ID
	Replaces    ID
	Version     string
	Level       uint32 // newest schema level that the replica knows; below that of the log the event is void
	Signature   []byte // by the key that the life before signed with, over the word that it has ended; see Ping
	Issuer      string // "iss" and "aud" of the tokens that it gives and takes: replicas that differ refuse each other's
	Audience    string
}

// Ping is one replica's entry in a beat.
type Ping struct {
	Node        string
	Incarnation ID
	Counter     uint64
	Applied     uint64 // the replica's readers see everything up to this sequence
	Digest      ID     // rolling digest at Applied
	Level       uint32 // newest schema level that the replica knows
	LeaseMillis uint64 // the replica's lease in milliseconds; peers wait for the longest that they hear of
	Signature   []byte // by the replica's refresh key, whose id stands before it; nil before the others know the key
}

// NodeBeat carries the pings of one replica, or of several that one replica collected. The envelope's time is wall time of
// its appender: the greatest one seen is log time.
type NodeBeat struct{ Pings []Ping }

// NodeLeft says that a life ended cleanly, after it had stopped to serve.
type NodeLeft struct {
	Incarnation ID
	Signature   []byte // by the key that the life signed with, over the word that it has ended; see Ping
}

// NodeKey publishes the keys that a replica signs with.
type NodeKey struct {
	Key           string // RFC 7638 thumbprint of Public, the JWT kid
	Alg           string // "EdDSA", "ES256" or "RS256"
	Public        []byte // public key of access tokens: Ed25519, an uncompressed point of P-256, or the DER of an RSAPublicKey
	RefreshPublic []byte // Ed25519 public key of refresh tokens; never in the JWKS
	Incarnation   ID
}

// LevelRaised says that events of this schema level may follow it. It is void unless every replica that may be live knows the
// level. Every build reads it, so that one which does not know the level stops here, and not at something that it cannot read.
type LevelRaised struct{ Level uint32 }

// Type implements Payload.
func (*LogStarted) Type() Type        { return TypeLogStarted }
func (*SessionStarted) Type() Type    { return TypeSessionStarted }
func (*SessionRefreshed) Type() Type  { return TypeSessionRefreshed }
func (*RefreshReplayed) Type() Type   { return TypeRefreshReplayed }
func (*ClientToken) Type() Type       { return TypeClientToken }
func (*SessionRevoked) Type() Type    { return TypeSessionRevoked }
func (*UserRevoked) Type() Type       { return TypeUserRevoked }
func (*ClientRevoked) Type() Type     { return TypeClientRevoked }
func (*SigningKeyRevoked) Type() Type { return TypeSigningKeyRevoked }
func (*AllRevoked) Type() Type        { return TypeAllRevoked }
func (*UserCreated) Type() Type       { return TypeUserCreated }
func (*UserEnabled) Type() Type       { return TypeUserEnabled }
func (*UserRolesChanged) Type() Type  { return TypeUserRolesChanged }
func (*PasswordChanged) Type() Type   { return TypePasswordChanged }
func (*ClientCreated) Type() Type     { return TypeClientCreated }
func (*LoginFailed) Type() Type       { return TypeLoginFailed }
func (*SecretUser) Type() Type        { return TypeSecretUser }
func (*SecretPassword) Type() Type    { return TypeSecretPassword }
func (*SecretRehash) Type() Type      { return TypeSecretRehash }
func (*SecretClient) Type() Type      { return TypeSecretClient }
func (*NodeJoined) Type() Type        { return TypeNodeJoined }
func (*NodeBeat) Type() Type          { return TypeNodeBeat }
func (*NodeLeft) Type() Type          { return TypeNodeLeft }
func (*NodeKey) Type() Type           { return TypeNodeKey }
func (*LevelRaised) Type() Type       { return TypeLevelRaised }
