package node

import (
	"math"
	"time"
)

// Kind says by what kind of credential a request was made.
type Kind uint8

// The kinds of credentials. The zero Kind is nobody's.
const (
	KindSession Kind = iota + 1 // an access token, of a user's session or a client's own
	KindAPIKey
	KindBasic // user name and password with the request
)

// String returns "session", "api_key" or "basic".
func (k Kind) String() string { return [...]string{"none", "session", "api_key", "basic"}[k] }

// Kind returns by what kind of credential i came. Only a token has a signing key, and of the others only an API key an id.
func (i Identity) Kind() Kind {
	switch {
	case i.c == nil:
		return 0
	case i.c.KeyID != "":
		return KindSession
	case i.c.ID != "":
		return KindAPIKey
	}
	return KindBasic
}

// never is when a credential expires that does not, in Unix seconds.
const never = math.MaxInt64

// timeOf returns the instant of a number of Unix seconds; 0 and never are the zero Time.
func timeOf(seconds int64) time.Time {
	if seconds == 0 || seconds == never {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
