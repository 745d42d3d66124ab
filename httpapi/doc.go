// Package httpapi is the HTTP surface of a replica and the middleware that a Go service mounts. A handler decodes a
// request, makes one call of package node and encodes what it says; one file, errors.go, maps errors to answers.
//
// The package owns the routes, the OAuth 2 token endpoint (RFC 6749), bearer authentication (RFC 6750), forward-auth, the
// administration of users and clients, problem documents (RFC 9457) and the limits on what a request may hold. It does
// not know the log, how a token is checked, or who may log in.
//
// A token is taken from the Authorization header only. Tokens in a query or a form (RFC 6750 sections 2.2 and 2.3) are
// ignored, because they end up in logs and histories.
package httpapi
