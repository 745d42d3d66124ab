package node

import (
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/token"
)

// Origin says who asks for a command and from where; it goes into the event. Client-supplied text is cut and cleaned, never
// refused.
type Origin struct {
	Actor     string // "" means the subject of the command itself
	Address   string // client address
	UserAgent string
	RequestID string
	Reason    string
}

// LoginRequest is a resource owner password login (RFC 6749 section 4.3).
type LoginRequest struct {
	Name     string
	Password string
	Client   string   // authenticated OAuth client, "" for a first-party login
	Scope    []string // nil asks for all that the user may have
	Remember bool     // the session gets the longer lifetimes (Config.Remembered)
	Origin   Origin

	ClientSeq uint64 // that AuthenticateClient returned; 0: the client was not authenticated by it
}

// RefreshRequest presents a refresh token (RFC 6749 section 6).
type RefreshRequest struct {
	Token  string
	Client string   // authenticated OAuth client, "" for a first-party session; must be the one that the session is of
	Scope  []string // nil: all that the session has; else the access token gets these of them, and no others may be asked
	Origin Origin

	ClientSeq uint64 // as in LoginRequest
}

// Tokens is what a login or a refresh gives.
type Tokens struct {
	AccessToken  string
	RefreshToken string // "" when there is none
	IDToken      string // OpenID Connect; "" unless a code with the scope openid was redeemed
	ExpiresIn    time.Duration
	Scope        []string
	Session      events.ID
	Seq          uint64 // log sequence of the event that made them
}

// NewUser describes a user to be created. Exactly one of Password and Hash is set.
type NewUser struct {
	Name     string
	Password string
	Hash     string // an imported hash, of any kind that package password accepts
	Email    string // may be ""
	FullName string // may be ""
	Roles    []string
	Scope    []string
	Disabled bool
	First    bool // the first administrator: ErrExists when there is one, which the log decides
}

// User is a user as the state knows it.
type User struct {
	ID       events.ID
	Name     string
	Email    string
	FullName string
	Roles    []string
	Scope    []string
	Disabled bool
	Created  time.Time
	Sessions int // live ones
}

// Announced is what a replica says of itself in the log: by it replicas can be compared.
type Announced struct {
	Version     string `json:"version"`         // of its build
	Level       uint32 `json:"level"`           // newest schema level that it knows; 0: it has not said so yet
	LeaseLength int64  `json:"lease_length_ms"` // 0: it has not said so yet
	Issuer      string `json:"issuer"`
	Audience    string `json:"audience"`
}

// Standing is where a replica stands in time and in the log.
type Standing struct {
	Time     time.Time `json:"time"`      // of its wall clock
	LogTime  time.Time `json:"log_time"`  // the newest wall clock time of any replica, as far as this one has applied the log
	LogLevel uint32    `json:"log_level"` // schema level of the log
	Snapshot uint64    `json:"snapshot"`  // sequence of the newest snapshot that most replicas have made; 0: none is known
	LogFirst uint64    `json:"log_first"` // the log begins here
}

// Status describes a replica for operators.
type Status struct {
	Announced
	Standing
	Node        string        `json:"node"`
	Incarnation string        `json:"incarnation"`
	Epoch       string        `json:"epoch"`
	Applied     uint64        `json:"applied"`
	Digest      string        `json:"digest"`
	Lease       time.Duration `json:"-"` // remaining; 0 when there is none
	Ready       bool          `json:"ready"`
	Fenced      string        `json:"fenced,omitempty"` // why the replica will not serve until it is restarted
	Peers       []Peer        `json:"peers"`
	Users       int           `json:"users"`
	Sessions    int           `json:"sessions"`
	Revoked     int           `json:"revoked"`
	LogBytes    int64         `json:"log_bytes"`
	LogMaxBytes int64         `json:"log_max_bytes"`
	LogSheds    string        `json:"log_sheds,omitempty"` // what it has no room for: attempts, then logins, accounts, everything
	Pending     int           `json:"pending_barriers"`
	Record      Recording     `json:"record"`
}

// Peer is another replica as this one sees it.
type Peer struct {
	Announced
	Node        string        `json:"node"`
	Incarnation string        `json:"incarnation"`
	Applied     uint64        `json:"applied"`
	Horizon     time.Duration `json:"-"` // how long it may still hold a lease; 0: it holds none
}

// Identity says for whom a verified token speaks. The zero Identity is nobody. It is a small value; copying it copies
// no claims.
type Identity struct{ c *token.Claims }

// Valid reports whether i is somebody.
func (i Identity) Valid() bool { return i.c != nil }

// Subject returns the opaque id of the user (RFC 9068 "sub"), or the client id for a client's own token.
func (i Identity) Subject() string { return i.c.Subject }

// Client returns the OAuth client id, "" for a first-party login.
func (i Identity) Client() string { return clientOf(i.c) }

// Session returns the id of the session; zero for an API key and for Basic, which have none.
func (i Identity) Session() events.ID { return events.ID(i.c.Session) }

// TokenID returns the "jti", or the id of the API key; "" for Basic.
func (i Identity) TokenID() string { return i.c.ID }

// Scope returns the granted scopes, space separated.
func (i Identity) Scope() string { return i.c.Scope }

// Scopes returns the granted scopes. Read only.
func (i Identity) Scopes() []string { return i.c.Scopes }

// Roles returns the user's roles at issue, less those that give a scope which was not granted. Read only.
func (i Identity) Roles() []string { return i.c.Roles }

// Expires returns the instant at which the token or the API key expires; the zero Time if it does not, as Basic.
func (i Identity) Expires() time.Time { return timeOf(i.c.Expires) }

// IssuedAt returns the instant at which the token was issued or the API key made; the zero Time for Basic.
func (i Identity) IssuedAt() time.Time { return timeOf(i.c.IssuedAt) }

// HasScope reports whether scope was granted.
func (i Identity) HasScope(scope string) bool { return contains(i.c.Scopes, scope) }

// HasRole reports whether the user had role when the token was issued.
func (i Identity) HasRole(role string) bool { return contains(i.c.Roles, role) }

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}
