package node

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors of a node. Callers tell them apart with errors.Is; package httpapi has the one table that maps them to statuses.
var (
	// ErrNotCurrent: this replica holds no lease and cannot prove that it is current; neither a yes nor a no would be
	// safe. 503.
	ErrNotCurrent = errors.New("replica cannot prove that it is current")
	// ErrUnknownOutcome: the command may or may not have been carried out. 503.
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrFull: the log has no room for this kind of event. 503.
	ErrFull = errors.New("log is full")
	// ErrClosed: the node is stopping or was fenced for good. 503.
	ErrClosed = errors.New("replica is stopped")

	// ErrInvalidToken: the token is malformed, foreign, expired, revoked or stale. 401. The errors below refine it.
	ErrInvalidToken = errors.New("invalid token")
	// ErrExpired is an ErrInvalidToken.
	ErrExpired = fmt.Errorf("%w: expired", ErrInvalidToken)
	// ErrRevoked is an ErrInvalidToken: its session has ended.
	ErrRevoked = fmt.Errorf("%w: session has ended", ErrInvalidToken)
	// ErrStale is an ErrInvalidToken: roles changed after it was issued; refreshing gives a good one.
	ErrStale = fmt.Errorf("%w: claims are out of date, refresh the token", ErrInvalidToken)

	// ErrInvalidKey is an ErrInvalidToken: the API key is unknown, expired or revoked, or its owner is disabled.
	ErrInvalidKey = fmt.Errorf("%w: API key", ErrInvalidToken)
	// ErrInvalidBasic: user name and password of a request are not good, and not which. 401.
	ErrInvalidBasic = errors.New("invalid user name or password")

	// ErrInvalidGrant: wrong name or password, or a refresh token that is not good (RFC 6749 section 5.2).
	ErrInvalidGrant = errors.New("invalid grant")
	// ErrInvalidClient: client authentication failed.
	ErrInvalidClient = errors.New("invalid client")
	// ErrClientChanged: the client's record changed since the client was authenticated, and its secret may be another one now.
	// To authenticate it again tells. 503.
	ErrClientChanged = errors.New("client changed since it was authenticated")
	// ErrInvalidScope: a scope was asked that may not be granted, or is malformed.
	ErrInvalidScope = errors.New("invalid scope")
	// ErrBadRequest: an argument is malformed; the error's text says which and is safe to show.
	ErrBadRequest = errors.New("bad request")
	// ErrWrongPassword: the password that proves who asks is not good. 403.
	ErrWrongPassword = errors.New("wrong password")
	// ErrUnsupportedToken: an API key, which has no session, where tokens are revoked; its owner revokes it. 400.
	ErrUnsupportedToken = errors.New("an API key cannot be revoked as a token is")
	// ErrOwnAccount: an administrator asks for what would take the administration out of its own hands. 409.
	ErrOwnAccount = errors.New("not upon one's own account")
	// ErrThirdParty: the token was issued to a client, and only a first-party log-in may do this. 403.
	ErrThirdParty = errors.New("not for a client's token")
	// ErrExists: the name is taken.
	ErrExists = errors.New("already exists")
	// ErrConflict: it was not done, because others kept changing what it is about. 409.
	ErrConflict = errors.New("others are changing the same thing")
	// ErrNotFound: no such user, client or session.
	ErrNotFound = errors.New("not found")
	// ErrTrimmed: events that were asked for are not in the log any more. 410.
	ErrTrimmed = errors.New("the log was trimmed beyond this position")
)

// BusyError says that the work was refused because too much of it is waiting. 503 with Retry-After.
type BusyError struct{ RetryAfter time.Duration }

// Error implements error.
func (e *BusyError) Error() string { return "too busy, retry after " + e.RetryAfter.String() }

// LimitedError says that guesses at an account, or from an address, have to wait, or that a session or a user asks for too much. It
// says nothing about whether the account exists. 429 with Retry-After.
type LimitedError struct{ RetryAfter time.Duration }

// Error implements error.
func (e *LimitedError) Error() string {
	return "too many attempts, retry after " + e.RetryAfter.String()
}

// OlderError says that something was not written to the log because replicas of an older version could not read it. It can be
// repeated when they are gone or run a newer one. 503 with Retry-After.
type OlderError struct{ Replicas []string } // their names

// Error implements error. Its text is safe to show.
func (e *OlderError) Error() string {
	return "this needs a newer version of every replica, and an older one is still in the cluster: " + strings.Join(e.Replicas, ", ")
}

// PendingError says that a revocation is committed, but that its caller stopped waiting before every replica was known
// to refuse. It is not a success.
type PendingError struct {
	Seq     uint64    // sequence of the revocation in the log
	Pending []string  // names of the replicas that may still accept
	Certain time.Time // the instant by which none does any more, by this replica's clock
}

// Error implements error.
func (e *PendingError) Error() string {
	return "committed, pending on " + strings.Join(e.Pending, ", ")
}
