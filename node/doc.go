// Package node is one replica of Knell: it appends commands to the log, folds the log into state, holds the lease that
// entitles it to answer, and verifies tokens at the speed of a stateless JWT. A Go service embeds it directly; package
// httpapi puts it on HTTP.
//
// The package owns the fold, the commands, the goroutines of a replica and the verification path. It does not know
// JetStream (package events), HTTP (package httpapi) or how a NATS server is run (package internal/natsd).
package node
