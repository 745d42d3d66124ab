package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
	"github.com/knell-auth/knell/internal/password"
	"github.com/knell-auth/knell/internal/token"
)

// Log is the shared log as a node uses it. events.Log is one over JetStream; eventstest has one in memory. Both pass the
// same conformance suite.
type Log interface {
	// Append adds e unless an event with its id is there, and returns its sequence. See events.Log.Append for the errors.
	Append(ctx context.Context, e *events.Event) (uint64, error)
	// Follow delivers every message after the sequence after, in order and without gaps, until ctx ends or deliver fails.
	Follow(ctx context.Context, after uint64, deliver func([]events.Message) error) error
	// Read delivers the messages after a sequence up to another one, which are all there. See events.Log.Read.
	Read(ctx context.Context, after, upTo uint64, deliver func([]events.Message) error) error
	// Stat describes the log as its leader sees it.
	Stat(ctx context.Context) (events.Stat, error)
	// Tell sends an unreliable notice to another node.
	Tell(to string, data []byte) error
	// Listen receives the notices that are sent to this node.
	Listen(deliver func(from string, data []byte)) (stop func(), err error)
	Tiles
}

// Tiles keeps the full tiles of the log's Merkle tree, each under a name, for ever. See events.Log.
type Tiles interface {
	// OpenTiles makes the place where they are kept. PutTile and Tile need it.
	OpenTiles(ctx context.Context) error
	// PutTile stores a tile, unless it is there; events.ErrOtherTile: another one is there.
	PutTile(ctx context.Context, name string, data []byte) error
	// Tile returns a tile, or events.ErrNoTile.
	Tile(ctx context.Context, name string) ([]byte, error)
}

// Config configures a node. The zero value of each field is safe.
type Config struct {
	Name        string          // replica's name, [a-z0-9-]{1,32}; required
	Dir         string          // the replica's own directory: signing keys and checkpoint; required
	Log         Log             // required
	Issuer      string          // "iss"; required
	Audience    string          // "aud"; required
	Alg         string          // algorithm of this replica's tokens: "EdDSA", "ES256" or "RS256"; "": as before, or EdDSA
	Lease       time.Duration   // 0: DefaultLease
	AccessTTL   time.Duration   // life of an access token; 0: 5 min
	RefreshIdle time.Duration   // a refresh token ends when unused for so long; 0: 24 h
	SessionTTL  time.Duration   // no refresh reaches beyond this; 0: 30 days
	Remembered  Remembered      // instead of the two above, for users who ask for it
	Basic       bool            // user name and password are a credential for requests (RFC 7617); false: only for log-ins
	Grace       time.Duration   // a refresh token may be presented twice within it; 0: 30 s; negative: never
	CacheTokens int             // verified tokens remembered; 0: 131,072
	Password    password.Config // hashing
	Limits      Limits          // of guesses and refreshes, and of webhooks
	Retention   Retention       // of events; the zero value keeps all, and every start reads them
	Recording   Recording       // what events tell of where a request came from
	Logger      *slog.Logger    // nil: nothing is logged
	Build
}

// Build says which build a node is of, and what looks on.
type Build struct {
	Version string         // told to peers
	Tracer  Tracer         // makes spans; nil: there are none
	Break   fence.Mutation // removes a mechanism, for tests that show it is needed; refused but in builds with the tag knell_break
}

// breakable says whether Break is heeded: beside builds that are made for it, in the tests of this package.
var breakable = fence.Breakable

// Remembered are the lifetimes of sessions whose user asked to be remembered, instead of RefreshIdle and SessionTTL. They are not
// shorter than those.
type Remembered struct {
	Idle time.Duration // 0: 30 days, or RefreshIdle if that is longer
	TTL  time.Duration // 0: 180 days, or SessionTTL if that is longer
}

// opTimeout bounds a command whose caller set no deadline.
const opTimeout = 30 * time.Second

// DefaultLease outlasts the election of a stream leader even when its first vote is split and the machine is busy: in 20 kills and
// 20 pauses of leaders on two overloaded cores no lease got older than 4.3 s (cluster-test -failover; with 4 s some replicas
// refused). A lease is renewed beatsPerLease times in its length.
const DefaultLease = 5 * time.Second

// maxAccessTTL is the longest life of an access token. A key that has not been in use for so long verifies none.
const maxAccessTTL = 24 * time.Hour

// minLease is the shortest lease that leaves room for beats and their commits.
const minLease = 200 * time.Millisecond

// withDefaults returns c with zero fields filled in, or an error that names the field.
func (c Config) withDefaults() (Config, error) {
	if !events.ValidNodeName(c.Name) {
		return c, fmt.Errorf("node: name %q: want 1 to 32 of a-z, 0-9 and -", c.Name)
	}
	switch {
	case c.Dir == "":
		return c, errors.New("node: Dir is required")
	case c.Log == nil:
		return c, errors.New("node: Log is required")
	case c.Issuer == "" || c.Audience == "":
		return c, errors.New("node: Issuer and Audience are required")
	}
	setDefault(&c.Lease, DefaultLease)
	setDefault(&c.AccessTTL, 5*time.Minute)
	setDefault(&c.RefreshIdle, 24*time.Hour)
	setDefault(&c.SessionTTL, 30*24*time.Hour)
	setDefault(&c.Remembered.Idle, max(30*24*time.Hour, c.RefreshIdle))
	setDefault(&c.Remembered.TTL, max(180*24*time.Hour, c.SessionTTL))
	setDefault(&c.Grace, 30*time.Second)
	setDefault(&c.CacheTokens, 1<<17)
	c.Limits = c.Limits.withDefaults()
	setDefault(&c.Recording.Address, RecordPlain)
	setDefault(&c.Recording.Agent, RecordPlain)
	setDefault(&c.Retention.Every, defaultSnapshotEvery)
	setDefault(&c.Retention.Look, defaultLook)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Lease < minLease:
		return c, fmt.Errorf("node: lease %v is shorter than %v", c.Lease, minLease)
	case c.AccessTTL < time.Second || c.RefreshIdle < time.Second || c.SessionTTL < time.Second:
		return c, errors.New("node: token lifetimes must be at least 1s")
	case c.Alg != "" && !slices.Contains(token.Algorithms(), c.Alg):
		return c, fmt.Errorf("node: algorithm %q: want one of %s", c.Alg, strings.Join(token.Algorithms(), ", "))
	case c.Remembered.Idle < c.RefreshIdle || c.Remembered.TTL < c.SessionTTL:
		return c, errors.New("node: remembered sessions must not be shorter than others")
	case c.AccessTTL > maxAccessTTL:
		return c, errors.New("node: access tokens live at most 24h")
	case c.Retention.Age != 0 && c.Retention.Age < minRetention:
		return c, fmt.Errorf("node: events are kept for %v at least", minRetention)
	case c.Break != 0 && !breakable:
		return c, errors.New("node: Break is for builds with the tag knell_break")
	case c.CacheTokens < 0:
		return c, errors.New("node: CacheTokens must not be negative")
	}
	return c, c.Recording.check()
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
