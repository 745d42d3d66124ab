package node

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"time"
	"unique"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/limit"
	"github.com/knell-auth/knell/internal/revoke"
	"github.com/knell-auth/knell/internal/token"
)

// margin is how much longer than its life the fold remembers a thing: a beat's time may lag the true time by a beat
// interval and by a clock that is slow, and nothing that is still in use may be forgotten.
const margin = int64(60) // seconds

// dedupeWindow is how long in log time the fold remembers event ids: two of the log's duplicate windows.
const dedupeWindow = 2 * time.Minute

// state is what the log means: a deterministic fold that reads no clock and no randomness, so that equal prefixes give
// equal states on every replica.
//
// It has one writer, the apply loop. words, access.live and revoked are read without a lock by the verification path; everything
// else is read under Node.mu.
type state struct {
	beginning
	hooks   map[string]*hook
	seq     uint64
	digest  events.ID // rolling digest over every message and what it did
	logTime int64     // Unix nanoseconds: the greatest time of any beat

	users map[events.ID]*user
	names map[string]*user
	oauth
	keyring
	sessions map[events.ID]*session
	records  map[uint64]record // secret events whose public record is not in the log yet
	access   access
	roster
	agenda

	words    *revoke.Words
	revoked  *revoke.Set
	freeWord wordPool
	guesses  *limit.Table // failed logins, in log time
	recent

	touched []byte // scratch: what the message in hand changed, for the digest
}

// beginning is what the log's first event says, and whether it was made again from a backup since.
type beginning struct {
	epoch   events.ID // of what comes next
	log     events.ID // the first epoch, under which the tiles of the tree are stored
	hashKey []byte
}

// recent is what is remembered of messages: their ids for some time, which were void, and the hashes of the durable ones.
type recent struct {
	seen   idMemory
	past   past
	leaves leafTree
}

// agenda says when to look for sessions that have ended.
type agenda struct {
	expiry map[int64][]events.ID // minute of log time → sessions that may end in it
	swept  int64                 // minutes before this one have been swept
}

// user is an account. seq is the newest sequence at which what it may do changed; a command names the seq that it was
// validated against.
type user struct {
	id       events.ID
	name     string
	email    string
	fullName string
	hash     string
	roles    []string
	scope    []string
	seq      uint64
	credSeq  uint64 // newest sequence at which the hash changed
	cutoff   uint64 // sessions that started before it have ended
	codes    uint64 // codes that were issued before it have ended
	stale    uint64 // access tokens issued before it are out of date
	created  int64  // Unix seconds of log time
	disabled bool
	head     *session // its live sessions, newest first
	count    int
	networks networks
	keys     []*apiKey // oldest first
	flag     uint32    // index of its live flag, for what was verified by its name and password
	pace     int64     // at which it makes and rotates keys, see paceAfter
}

// session is a live login. Times are Unix seconds.
type session struct {
	id            events.ID
	user          *user   // nil for a client's own token
	client        *client // nil for a first-party login
	scope         unique.Handle[string]
	start         uint64 // sequence at which it started
	seq           uint64 // sequence of its newest event; the current generation was made there
	issuedAt      int64
	accessExpires int64 // of the current generation
	lastExpires   int64 // of any access token so far: the revocation cache must outlive it
	idleExpires   int64
	expires       int64
	authTime      int64
	generation    uint32
	word          uint32 // index of its live flag
	remember      bool   // the longer lifetimes apply
	pace          int64  // of its refreshes, see paceAfter
	endings       int64  // pace at which it ends others
	device        device
	prev, next    *session
}

// device is where a session is used, as far as the envelopes of its events tell.
type device struct {
	started int64                 // Unix seconds
	address place                 // of its newest login or refresh
	agent   unique.Handle[string] // user agent of the same
}

// signingKey is what one replica signs with: a key of access tokens, and one of refresh tokens.
type signingKey struct {
	id            string
	node          string // name of the replica
	verify        *token.Key
	refreshPublic ed25519.PublicKey
	seq           uint64
	used          int64 // Unix seconds of log time: newest beat of the replica while this was its newest key
	revoked       bool
}

// of reports whether a replica of that name signs with k, as far as the log says.
func (k *signingKey) of(node string) bool { return !k.revoked && k.node == node }

// keyring is the keys of all replicas.
type keyring struct {
	keys    map[string]*signingKey
	refresh map[token.RefreshKeyID]*signingKey
	signers map[string]*signingKey // the newest key of each replica, by its name
}

// record is a public record that is still owed for a secret event.
type record struct {
	seq     uint64
	logTime int64
	origin  events.Event // envelope of the secret event, without data
	data    events.Payload
}

// outcome says what a message did. A void one changed nothing, by a rule that anybody can compute from the log's prefix.
type outcome struct {
	seq  uint64
	void voidReason
}

// voidReason is why an event is void; the zero value means that it is not.
type voidReason string

const (
	voidEpoch     voidReason = "epoch"     // belongs to another epoch of the log
	voidDuplicate voidReason = "duplicate" // its id is in the log already
	voidChanged   voidReason = "changed"   // something that it was validated against has changed since
	voidGone      voidReason = "gone"      // what it is about does not exist (any more)
	voidExists    voidReason = "exists"    // what it creates exists already
	voidNoop      voidReason = "noop"      // what it asks for is so already
	voidLimited   voidReason = "limited"   // a guess that came before its time
	voidLevel     voidReason = "level"     // a replica knows too low a schema level: the one that joins, or one that is there
)

func newState() *state {
	return &state{
		users: map[events.ID]*user{},
		names: map[string]*user{},
		oauth: oauth{clients: map[string]*client{}, codes: map[events.ID]*code{}},
		keyring: keyring{
			keys: map[string]*signingKey{}, refresh: map[token.RefreshKeyID]*signingKey{}, signers: map[string]*signingKey{},
		},
		sessions: map[events.ID]*session{},
		records:  map[uint64]record{},
		hooks:    map[string]*hook{},
		access:   newAccess(),
		words:    &revoke.Words{},
		revoked:  revoke.NewSet(),
		guesses:  limit.NewTable(maxCounted),
		agenda:   agenda{expiry: map[int64][]events.ID{}},
		roster:   roster{level: 1, members: map[events.ID]member{}},
	}
}

// apply folds one event. Its caller has checked that seq is the next one and that e was decoded without error; e.Data
// is nil for an optional event that this build does not know.
func (s *state) apply(seq uint64, e *events.Event) outcome {
	s.touched, s.freeWord.dead = s.touched[:0], s.freeWord.dead[:0]
	void := s.admit(e)
	if void == "" {
		void = s.fold(seq, e)
	}
	if void == "" {
		s.noteOpened(e)
	}
	s.seq = seq
	s.past.note(seq, void, s.logTime)
	s.addLeaf(e, void)
	s.rollDigest(seq, e.ID, void)
	return outcome{seq: seq, void: void}
}

// admit refuses what belongs to another epoch and what is in the log already.
func (s *state) admit(e *events.Event) voidReason {
	switch e.Data.(type) {
	case *events.LogStarted:
		return ""
	case *events.Restored: // of the next epoch
		if s.epoch.IsZero() {
			return voidEpoch
		}
	default:
		if s.epoch.IsZero() || e.Epoch != s.epoch {
			return voidEpoch
		}
	}
	if !s.seen.add(e.ID, s.logTime) {
		return voidDuplicate
	}
	return ""
}

// fold applies one admitted event.
func (s *state) fold(seq uint64, e *events.Event) voidReason {
	switch d := e.Data.(type) {
	case *events.NodeBeat:
		return s.foldBeat(e, d)
	case *events.SessionStarted:
		return s.foldSessionStarted(seq, e, d)
	case *events.SessionRefreshed:
		return s.foldSessionRefreshed(seq, e, d)
	case *events.CodeIssued:
		return s.foldCodeIssued(seq, d)
	case *events.RefreshReplayed:
		return s.foldRefreshReplayed(d)
	case *events.ClientToken:
		return s.foldClientToken(seq, e, d)
	case *events.SessionRevoked:
		return s.foldSessionRevoked(seq, d)
	case *events.UserRevoked:
		return s.foldUserRevoked(seq, d)
	case *events.SigningKeyRevoked:
		return s.foldSigningKeyRevoked(seq, d)
	case *events.AllRevoked:
		return s.foldAllRevoked(seq)
	case *events.SecretUser:
		return s.foldSecretUser(seq, e, d)
	case *events.SecretPassword:
		return s.foldSecretPassword(seq, e, d)
	case *events.SecretRehash:
		return s.foldSecretRehash(seq, d)
	case *events.UserEnabled:
		return s.foldUserEnabled(seq, d)
	case *events.UserRolesChanged:
		return s.foldUserRolesChanged(seq, d)
	case *events.SecretProfile:
		return s.foldSecretProfile(seq, e, d)
	case *events.APIKeyCreated:
		return s.foldRecord(d.Secret)
	case *events.APIKeyRotated:
		return s.foldRecord(d.Secret)
	case *events.UserCreated:
		return s.foldRecord(d.Secret)
	case *events.UserChanged:
		return s.foldRecord(d.Secret)
	case *events.PasswordChanged:
		return s.foldRecord(d.Secret)
	case *events.AttemptStarted:
		return s.foldAttemptStarted(seq, e, d)
	case *events.AttemptsForgiven:
		return s.foldAttemptsForgiven(e, d)
	case *events.SecretAPIKey:
		return s.foldSecretAPIKey(seq, e, d)
	case *events.SecretAPIKeyRotated:
		return s.foldSecretAPIKeyRotated(seq, e, d)
	case *events.APIKeyRevoked:
		return s.foldAPIKeyRevoked(seq, d)
	case *events.APIKeyUsed:
		return s.foldAPIKeyUsed(d)
	case *events.RoleScopes:
		return s.foldRoleScopes(seq, d)
	case *events.EventsGranted:
		return s.foldEventsGranted(seq, e, d)
	case *events.GrantRevoked:
		return s.foldGrantRevoked(seq, d)
	case *events.LogStarted:
		return s.foldLogStarted(e, d)
	default:
		return s.foldReplica(seq, e)
	}
}

// touch puts values that the message in hand changed into the digest.
func (s *state) touch(values ...uint64) {
	for _, v := range values {
		s.touched = binary.BigEndian.AppendUint64(s.touched, v)
	}
}

// rollDigest extends the digest by one message and its effect. Two replicas with equal digests have read the same log and
// made the same of it.
func (s *state) rollDigest(seq uint64, id events.ID, void voidReason) {
	var fixed [224]byte
	b := append(fixed[:0], s.digest[:]...)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = append(b, id[:]...)
	b = append(b, void...)
	b = append(b, 0)
	b = append(b, s.touched...)
	sum := sha256.Sum256(b)
	s.digest = events.ID(sum[:16])
}

func (s *state) foldLogStarted(e *events.Event, d *events.LogStarted) voidReason {
	if !s.epoch.IsZero() {
		return voidExists
	}
	if e.Epoch.IsZero() || len(d.HashKey) != sha256.Size {
		return voidChanged
	}
	s.epoch, s.log = e.Epoch, e.Epoch
	s.hashKey = append([]byte(nil), d.HashKey...)
	return ""
}

// foldBeat advances log time and forgets what ended before it.
func (s *state) foldBeat(e *events.Event, d *events.NodeBeat) voidReason {
	if t := e.Time.UnixNano(); t > s.logTime {
		s.logTime = t
		s.sweep()
		s.sweepCodes()
		s.guesses.Sweep(t)
	}
	for i := range d.Pings {
		s.foldPing(e, &d.Pings[i])
		if k := s.signers[d.Pings[i].Node]; k != nil {
			k.used = s.logTime / 1e9
		}
	}
	return ""
}

// idMemory remembers event ids for at least one dedupeWindow of log time, in two generations.
type idMemory struct {
	now, before map[events.ID]struct{}
	since       int64
}

// add reports whether id is new, and remembers it.
func (m *idMemory) add(id events.ID, logTime int64) bool {
	if m.now == nil || logTime-m.since > int64(dedupeWindow) {
		m.before, m.now, m.since = m.now, make(map[events.ID]struct{}, len(m.now)), logTime
	}
	if _, ok := m.now[id]; ok {
		return false
	}
	if _, ok := m.before[id]; ok {
		return false
	}
	m.now[id] = struct{}{}
	return true
}
