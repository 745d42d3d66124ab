package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"
)

// ErrMalformed says that an encoded hash is not one that this package checks: unknown form, or a cost out of bounds.
var ErrMalformed = errors.New("password: unusable hash")

// MaxBytes is the length in bytes above which no password is accepted, be it new or presented.
const MaxBytes = 1024

const (
	saltBytes = 16 // RFC 9106 section 3.1 recommends 16
	keyBytes  = 32

	bcryptMaxBytes = 72 // what Blowfish's key schedule reads; the rest would be ignored
)

// Params are the costs of an argon2id hash.
type Params struct {
	MemoryKiB uint32 // 0 = 19456 (19 MiB)
	Time      uint32 // passes over the memory; 0 = 2
	Lanes     uint8  // degree of parallelism; 0 = 1
}

// defaultParams is what OWASP's Password Storage Cheat Sheet recommends for argon2id: 19 MiB, 2 passes, 1 lane.
var defaultParams = Params{MemoryKiB: 19456, Time: 2, Lanes: 1}

// Config says how New sets up a Hasher. The zero value is the recommended one.
type Config struct {
	Workers int           // processors that hashing may take; < 1 = half of GOMAXPROCS, at least 1
	Queue   int           // calls that may wait for a worker; 0 = 32 for each worker, < 0 = none
	MaxWait time.Duration // how long a call may wait for a worker; <= 0 = 1 s
	Params  Params        // of new hashes; each zero field has its own default
	Shared  *Hasher       // New returns this one: the cap of those who share it is the machine's; nil: another one

	Elsewhere *Processes // compute the hashes; nil: the caller's goroutine does
	Before    func()     // for tests: called before each hash is computed, and may block; nil: nothing
}

// Result is the outcome of checking a password. The zero value refuses.
type Result struct {
	OK     bool // the password is the one that was hashed
	Rehash bool // OK, but the stored hash is weaker than a new one would be: store Hash(password) in its place
}

// Hasher hashes and checks passwords. It is safe for concurrent use and needs no Close.
type Hasher struct {
	params Params
	gate   *gate
	turns  *gate         // before admission
	admit  func() error  // nil: everybody is admitted
	bulk   chan struct{} // a place for each call of HashInTurn that may want a worker

	compute func(question) answer // the slow functions; tests replace them before first use
}

// New returns a Hasher, cfg.Shared if there is one. It panics if cfg.Params fails Check: what it hashed could not be verified later.
func New(cfg Config) *Hasher {
	if cfg.Shared != nil {
		return cfg.Shared
	}
	if err := cfg.Params.Check(); err != nil {
		panic(err)
	}
	if cfg.Workers < 1 {
		cfg.Workers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if cfg.Queue == 0 {
		// At 20 ms a hash a full queue is 0.65 s of work, so that MaxWait refuses only where hashing is slower.
		cfg.Queue = 32 * cfg.Workers
	}
	if cfg.MaxWait <= 0 {
		cfg.MaxWait = time.Second
	}
	h := &Hasher{
		params:  cfg.Params.orDefault(),
		gate:    newGate(cfg.Workers, max(0, cfg.Queue), cfg.MaxWait),
		turns:   newGate(2*cfg.Workers, max(0, cfg.Queue), cfg.MaxWait),
		bulk:    make(chan struct{}, cfg.Workers),
		compute: compute,
	}
	if cfg.Elsewhere != nil {
		h.compute = cfg.Elsewhere.compute
	}
	if compute := h.compute; cfg.Before != nil {
		h.compute = func(q question) answer {
			cfg.Before()
			return compute(q)
		}
	}
	return h
}

func (p Params) orDefault() Params {
	if p.MemoryKiB == 0 {
		p.MemoryKiB = defaultParams.MemoryKiB
	}
	if p.Time == 0 {
		p.Time = defaultParams.Time
	}
	if p.Lanes == 0 {
		p.Lanes = defaultParams.Lanes
	}
	return p
}

// Check returns an error that wraps ErrMalformed if hashes with these costs, defaults filled in, are outside the bounds
// that CheckEncoded sets.
func (p Params) Check() error {
	return p.orDefault().check()
}

// Hash returns password as a new argon2id PHC string with a random salt of 16 bytes. It holds no policy beyond the length
// of 1 to MaxBytes bytes (ErrPolicy), so that an imported user's old password can be rehashed; see CheckNew. It returns
// a *BusyError when too many calls wait, and ctx's error if ctx ends before a worker is free. It is for callers who are known,
// and comes before every Verify that waits.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	return h.hash(password, func(lanes int) error { return h.gate.enter(ctx, lanes, known) })
}

// HashInTurn is Hash for work in bulk, which has time: it comes behind every Verify that waits, takes at most one place in the
// queue for each worker, and where Hash returns a *BusyError it waits on, until ctx ends.
func (h *Hasher) HashInTurn(ctx context.Context, password string) (string, error) {
	select {
	case h.bulk <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-h.bulk }()
	return h.hash(password, func(lanes int) error { return h.gate.enterPatiently(ctx, lanes) })
}

// hash hashes a password when enter has let a hash with so many lanes in.
func (h *Hasher) hash(password string, enter func(lanes int) error) (string, error) {
	if password == "" || len(password) > MaxBytes {
		return "", fmt.Errorf("%w: it must have 1 to %d bytes", ErrPolicy, MaxBytes)
	}
	p := phc{h.params, make([]byte, saltBytes), make([]byte, keyBytes)}
	rand.Read(p.salt) // never returns an error
	if err := enter(int(p.Lanes)); err != nil {
		return "", err
	}
	defer h.gate.leave(int(p.Lanes))
	if p.key = h.compute(question{p.String(), []byte(password)}).Key; len(p.key) != keyBytes {
		return "", ErrMalformed // which no password would ever match
	}
	return p.String(), nil
}

// Verify reports whether encoded is a hash of password. The error wraps ErrMalformed if CheckEncoded refuses encoded; it
// is a *BusyError when too many calls wait, and ctx's error if ctx ends before a worker is free. With an error the Result is
// zero. A password that no hash can stand for (empty, longer than MaxBytes; for bcrypt longer than 72 bytes;
// with a NUL for any kind but argon2id) costs the same work as any wrong one.
func (h *Hasher) Verify(ctx context.Context, encoded, password string) (Result, error) {
	if strings.HasPrefix(encoded, argon2idPrefix) {
		p, err := parsePHC(encoded)
		if err != nil {
			return Result{}, err
		}
		ok, err := h.match(ctx, p, password)
		return Result{OK: ok, Rehash: ok && p.weakerThan(h.params)}, err
	}
	if isImported(encoded) {
		im, err := parseImported(encoded)
		if err != nil {
			return Result{}, err
		}
		ok, err := h.matchImported(ctx, im, encoded, password)
		return Result{OK: ok, Rehash: ok}, err
	}
	if err := checkBcrypt(encoded); err != nil {
		return Result{}, err
	}
	ok, err := h.matchBcrypt(ctx, encoded, password)
	return Result{OK: ok, Rehash: ok}, err
}

// VerifyUnknown does the work of a Verify against a hash made by Hash, for a user who does not exist, so that the time of
// the answer does not tell. Its errors are those of Verify; nil means that the work was done and the answer is no. Users
// whose imported hash has other costs can still be told apart until their first login has rehashed it.
func (h *Hasher) VerifyUnknown(ctx context.Context, password string) error {
	_, err := h.match(ctx, phc{Params: h.params, salt: make([]byte, saltBytes), key: make([]byte, keyBytes)}, password)
	return err
}

// Admitting returns a Hasher with the workers of h, of which Verify and VerifyUnknown ask admit when the call's turn has come: before
// anything is computed, and when nothing but the hashes under way is in front of it. An error of admit ends the call, which
// returns it. As many calls as there are workers can be admitted while others compute, so that workers do not wait for admit;
// the rest queues for its turn, and is refused there.
func (h *Hasher) Admitting(admit func() error) *Hasher {
	other := *h
	other.admit = admit
	return &other
}

// enter waits for workers for a check with so many lanes, and for its admission. After nil the caller owes a leave.
func (h *Hasher) enter(ctx context.Context, lanes int) error {
	if h.admit == nil {
		return h.count(h.gate.enter(ctx, lanes, anybody))
	}
	if err := h.turns.enter(ctx, lanes, anybody); err != nil {
		return err
	}
	err := h.admit()
	if err == nil { // known, because few can be here and each has been counted
		err = h.count(h.gate.enter(ctx, lanes, known))
	}
	if err != nil {
		h.turns.leave(lanes)
	}
	return err
}

// count counts a check that has got its workers.
func (h *Hasher) count(err error) error {
	if err == nil {
		h.gate.checks.Add(1)
	}
	return err
}

// leave ends a check.
func (h *Hasher) leave(lanes int) {
	h.gate.leave(lanes)
	if h.admit != nil {
		h.turns.leave(lanes)
	}
}

func (h *Hasher) match(ctx context.Context, p phc, password string) (bool, error) {
	if err := h.enter(ctx, int(p.Lanes)); err != nil {
		return false, err
	}
	defer h.leave(int(p.Lanes))
	usable := password != "" && len(password) <= MaxBytes
	a := h.compute(question{p.String(), []byte(password[:min(len(password), MaxBytes)])})
	return subtle.ConstantTimeCompare(a.Key, p.key) == 1 && usable, nil
}

// matchBcrypt refuses what bcrypt cannot tell apart. Blowfish reads 72 bytes, and bcrypt.CompareHashAndPassword silently
// ignores what follows. It also repeats the password with a closing NUL until the 72 are full, so "a", "a\0a" and
// "a\0a\0a" have one hash. Those passwords are cut, compared for the sake of equal work, and refused.
func (h *Hasher) matchBcrypt(ctx context.Context, encoded, password string) (bool, error) {
	if err := h.enter(ctx, 1); err != nil {
		return false, err
	}
	defer h.leave(1)
	usable := password != "" && len(password) <= bcryptMaxBytes && strings.IndexByte(password, 0) < 0
	a := h.compute(question{encoded, []byte(password[:min(len(password), bcryptMaxBytes)])})
	if a.Defect {
		return false, ErrMalformed
	}
	return a.Matches && usable, nil
}

// Stats returns the present load and the refusals since New. A call that is being admitted neither runs nor is queued.
func (h *Hasher) Stats() Stats {
	s, turns := h.gate.stats(), h.turns.stats()
	return Stats{
		Running: s.Running, Queued: s.Queued + turns.Queued, Rejected: s.Rejected + turns.Rejected,
		Waits: s.Waits + turns.Waits, Waited: s.Waited + turns.Waited,
	}
}

// Checks returns how many secrets were compared since New, right or not: the slow work that callers have caused.
func (h *Hasher) Checks() uint64 { return h.gate.checks.Load() }
