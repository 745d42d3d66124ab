// Package rival is what Knell is compared with: API replicas that end sessions the way people do it today. They check JWTs
// with golang-jwt, serve with chi, and share revocations through Redis or not at all.
//
// It owns the servers and their process. It does not run Redis, disturb anything or measure (package compare), and nothing
// of Knell's own mechanism is in it. The servers are written to be good of their kind: docs/comparison.md says which
// decisions were taken and why.
package rival

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// Profile is a way to end sessions.
type Profile string

// The profiles.
const (
	// JWT is stateless: a logout changes nothing until the token expires.
	JWT Profile = "jwt"
	// DenyList asks Redis about every token that is checked.
	DenyList Profile = "redis-denylist"
	// PubSub keeps the ended sessions in memory; Redis pub/sub brings the new ones.
	PubSub Profile = "redis-pubsub"
	// Polling keeps the ended sessions in memory and asks Redis for them at intervals.
	Polling Profile = "polling"
)

// Profiles lists all of them.
var Profiles = []Profile{JWT, DenyList, PubSub, Polling}

// Config is one replica.
type Config struct {
	Profile Profile
	// Redis is the address of the store; required unless the profile is JWT.
	Redis string
	// FailOpen lets a deny-list accept tokens while Redis does not answer. False: it refuses with 503.
	FailOpen bool
	// PollEvery is the interval of polling. 0: 1 s.
	PollEvery time.Duration
	// Listen is where HTTP is served. "": a free port on loopback.
	Listen string
	// TokenTTL is the life of a token. 0: 15 min.
	TokenTTL time.Duration
	// Secret signs the tokens; the replicas share it. Required.
	Secret string
	// User and Password are the one account. Required.
	User, Password string
}

const (
	defaultTokenTTL  = 15 * time.Minute
	defaultPollEvery = time.Second
	minSecret        = 32 // bytes, as RFC 7518 section 3.2 asks for HS256
)

// complete checks the settings and fills in the defaults.
func (c *Config) complete() error {
	if c.TokenTTL == 0 {
		c.TokenTTL = defaultTokenTTL
	}
	if c.PollEvery == 0 {
		c.PollEvery = defaultPollEvery
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	switch host, _, err := net.SplitHostPort(c.Redis); {
	case !slices.Contains(Profiles, c.Profile):
		return fmt.Errorf("rival: profile %q: want one of %v", c.Profile, Profiles)
	case c.Profile != JWT && (err != nil || host == ""):
		return fmt.Errorf("rival: profile %s needs the host:port of Redis, not %q", c.Profile, c.Redis)
	case c.FailOpen && c.Profile != DenyList:
		return fmt.Errorf("rival: only %s can fail open", DenyList)
	case c.PollEvery < 0 || c.TokenTTL < 0:
		return errors.New("rival: negative time")
	case len(c.Secret) < minSecret:
		return fmt.Errorf("rival: the secret has %d bytes, want at least %d", len(c.Secret), minSecret)
	case c.User == "" || c.Password == "":
		return errors.New("rival: user and password are required")
	}
	return nil
}
