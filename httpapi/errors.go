package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/knell-auth/knell/node"
)

// answer is what a client is told about an error.
type answer struct {
	status    int
	code      string // error code of RFC 6749 section 5.2 or RFC 6750 section 3.1; "" where they have none
	text      string // for people; safe to show
	challenge bool   // a Bearer challenge belongs to it
	scope     string // the scope that the challenge names
}

// table maps the errors of package node. The first match counts, so an error stands before the one that it refines.
var table = []struct {
	err error
	answer
}{
	// Neither yes nor no: never a 401, upon which clients forget their refresh tokens.
	{node.ErrNotCurrent, unavailable("this replica cannot prove that it is current")},
	{node.ErrUnknownOutcome, unavailable("it is not known whether this was carried out; repeat the request")},
	{node.ErrFull, unavailable("the log has no room for this")},
	{node.ErrClientChanged, unavailable("the client is being changed; repeat the request")},
	{node.ErrClosed, unavailable("this replica is stopped")},

	{node.ErrExpired, invalidToken("the access token has expired")},
	{node.ErrRevoked, invalidToken("the session has ended")},
	{node.ErrStale, invalidToken("the claims are out of date, refresh the token")},
	{node.ErrInvalidKey, invalidToken("the API key is unknown, expired or revoked")},
	{node.ErrInvalidToken, invalidToken("the access token is not valid")},

	{node.ErrInvalidBasic, answer{status: http.StatusUnauthorized, text: "the user name or the password is not valid", challenge: true}},

	{node.ErrInvalidGrant, answer{status: http.StatusBadRequest, code: codeInvalidGrant, text: "the credentials or the refresh token are not valid"}},
	{node.ErrInvalidClient, answer{status: http.StatusUnauthorized, code: codeInvalidClient, text: "client authentication failed"}},
	{node.ErrInvalidScope, answer{status: http.StatusBadRequest, code: codeInvalidScope, text: "the scope is malformed or may not be granted"}},
	{node.ErrUnsupportedToken, answer{status: http.StatusBadRequest, code: codeUnsupportedTokenType, text: "an API key is revoked at /api-keys"}},
	{node.ErrWrongPassword, answer{status: http.StatusForbidden, text: "the old password is not right"}},
	{node.ErrThirdParty, answer{status: http.StatusForbidden, code: codeInsufficientScope, challenge: true,
		text: "this is for users themselves: a token that was issued to a client may not do it, whatever its scope"}},
	{node.ErrOwnAccount, answer{status: http.StatusConflict,
		text: "an administrator cannot do this to the own account; another one can, and so can knell user and knell role"}},
	{node.ErrConflict, answer{status: http.StatusConflict, text: "not done: others are changing the same thing; repeat the request"}},
	{node.ErrExists, answer{status: http.StatusConflict, text: "the name is taken"}},
	{node.ErrTrimmed, answer{status: http.StatusGone,
		text: "the log does not go back so far any more: 0 is the position before the oldest event that it has"}},
	{node.ErrNoLeaf, answer{status: http.StatusNotFound, text: "the tree of the log has no such leaf, tile or size"}},
	{node.ErrNotFound, answer{status: http.StatusNotFound, text: "there is no such user, client, session, webhook or grant"}},

	// A context that ended leaves the outcome unknown.
	{context.DeadlineExceeded, unavailable("this took too long; it is not known whether it was carried out")},
	{context.Canceled, unavailable("the request was given up; it is not known whether it was carried out")},
}

// Error codes. The first seven are RFC 6749 section 5.2, the next two RFC 6750 section 3.1. The two after them are section
// 4.1.2.1's, used here with the HTTP statuses 503 and 500, and slow_down is RFC 8628 section 3.5's, used with 429: RFC 6749 has no
// error for it, and this one is registered for token endpoints. unsupported_token_type is RFC 7009 section 2.2.1's.
const (
	codeInvalidRequest       = "invalid_request"
	codeInvalidClient        = "invalid_client"
	codeInvalidGrant         = "invalid_grant"
	codeUnauthorizedClient   = "unauthorized_client"
	codeUnsupportedGrantType = "unsupported_grant_type"
	codeInvalidScope         = "invalid_scope"
	codeInvalidToken         = "invalid_token"
	codeInsufficientScope    = "insufficient_scope"
	codeUnavailable          = "temporarily_unavailable"
	codeServerError          = "server_error"
	codeSlowDown             = "slow_down"
	codeUnsupportedTokenType = "unsupported_token_type"
)

func unavailable(text string) answer {
	return answer{status: http.StatusServiceUnavailable, code: codeUnavailable, text: text}
}

func invalidToken(text string) answer {
	return answer{status: http.StatusUnauthorized, code: codeInvalidToken, text: text, challenge: true}
}

// A requestError is found by this package: the answer is the error.
type requestError struct{ answer }

// Error implements error.
func (e *requestError) Error() string { return e.text }

// Errors of bearer authentication (RFC 6750 section 3.1).
var (
	errNoCredentials   = &requestError{answer{status: http.StatusUnauthorized, text: "a bearer token is required", challenge: true}}
	errManyCredentials = &requestError{answer{status: http.StatusBadRequest, code: codeInvalidRequest,
		text: "more than one credential: want one Authorization header, or one X-API-Key header", challenge: true}}
	errMalformedToken = &requestError{invalidToken("the access token is malformed")}
	errMalformedKey   = &requestError{invalidToken("the API key is malformed")}
	errMissingRole    = &requestError{answer{status: http.StatusForbidden, code: codeInsufficientScope,
		text: "a role is required that was not granted", challenge: true}}
)

// Errors of credentials that are not of the kind that something needs.
var (
	errNoSession = &requestError{answer{status: http.StatusBadRequest, code: codeInvalidRequest,
		text: "an access token is required: an API key, and a user name with a password, have no session"}}
	errNeedsSession = &requestError{answer{status: http.StatusForbidden,
		text: "an access token is required: this cannot be done with an API key, nor with a user name and password"}}
	errNoKey = &requestError{answer{status: http.StatusNotFound, text: "the user has no such API key"}}
)

// errUnsupportedMedia answers a body that is not JSON where JSON is expected.
var errUnsupportedMedia = &requestError{answer{status: http.StatusUnsupportedMediaType, text: "the body must be application/json"}}

// badRequest returns an error that is answered 400, invalid_request.
func badRequest(format string, args ...any) error {
	return oauthError(codeInvalidRequest, fmt.Sprintf(format, args...))
}

// oauthError returns an error that is answered 400 with the given code of RFC 6749 section 5.2.
func oauthError(code, text string) error {
	return &requestError{answer{status: http.StatusBadRequest, code: code, text: text}}
}

// missingScope returns the error of a request whose token has not all of scopes, each of them well-formed.
func missingScope(scopes []string) error {
	return &requestError{answer{status: http.StatusForbidden, code: codeInsufficientScope,
		text: "a scope is required that was not granted", challenge: true, scope: strings.Join(scopes, " ")}}
}

// classify returns what a client is told about err, and whether that is all there is to it: known is false for an error
// that nobody foresaw, whose details belong into the log and nowhere else.
func classify(err error) (a answer, known bool) {
	var own *requestError
	if errors.As(err, &own) {
		return own.answer, true
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return answer{status: http.StatusRequestEntityTooLarge, code: codeInvalidRequest,
			text: fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)}, true
	}
	var pending *node.PendingError
	if errors.As(err, &pending) {
		return unavailable("recorded, but not every replica is known to follow it yet; repeat the request"), true
	}
	var busy *node.BusyError
	if errors.As(err, &busy) {
		return unavailable("too busy"), true
	}
	var older *node.OlderError
	if errors.As(err, &older) {
		return unavailable(older.Error()), true
	}
	var limited *node.LimitedError
	if errors.As(err, &limited) {
		return answer{status: http.StatusTooManyRequests, code: codeSlowDown, text: "too many attempts, wait before the next one"}, true
	}
	for _, row := range table {
		if errors.Is(err, row.err) {
			return row.answer, true
		}
	}
	if errors.Is(err, node.ErrBadRequest) { // its text is made to be shown
		return answer{status: http.StatusBadRequest, code: codeInvalidRequest, text: withoutKind(err, node.ErrBadRequest)}, true
	}
	return answer{status: http.StatusInternalServerError, code: codeServerError, text: "internal error"}, false
}

// withoutKind returns the text of an error without that of the kind which it wraps, however often: title and code say that.
func withoutKind(err, kind error) string {
	return strings.ReplaceAll(err.Error(), kind.Error()+": ", "")
}

// upgradeWait is how long a client waits that asked for what needs all replicas to be upgraded: restarting one takes seconds.
const upgradeWait = 10 * time.Second

// retryAfter returns the value of Retry-After (RFC 9110 section 10.2.3) for a 503 or 429: whole seconds, at least one. fallback
// is the replica's own estimate.
func retryAfter(err error, fallback time.Duration) int64 {
	wait := fallback
	var busy *node.BusyError
	var pending *node.PendingError
	var limited *node.LimitedError
	var older *node.OlderError
	switch {
	case errors.As(err, &limited):
		wait = limited.RetryAfter
	case errors.As(err, &older):
		wait = upgradeWait
	case errors.As(err, &busy):
		wait = busy.RetryAfter
	case errors.As(err, &pending):
		wait = time.Until(pending.Certain)
	}
	return max(1, int64((wait+time.Second-1)/time.Second))
}
