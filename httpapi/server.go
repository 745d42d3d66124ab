package httpapi

import (
	"context"
	"net"
	"net/http"
	"time"
)

// writeTimeout is longer than the longest logout (Config.LogoutWait).
const writeTimeout = 60 * time.Second

// Server returns a server for h at addr with limits on what a slow or greedy client can hold: 5 s for the headers and for the
// TLS handshake, 10 s for the whole request, 60 s for the answer, 2 minutes idle, 16 KiB of headers (more is 431). Over TLS it
// speaks HTTP/2 as well: 100 requests at a time on a connection, 64 KiB of a body under way for each and 1 MiB for all, and a
// connection that takes nothing for 30 s, or answers no ping, is closed. A connection of HTTP/1 ends with a request whose end a
// proxy might see elsewhere. Answers over TLS carry HSTS. It is not started.
func Server(addr string, h http.Handler) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           lastIfChunked(hsts(h)),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    12 << 10, // net/http allows 4 KiB more
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if g, ok := c.(gatherer); ok {
				ctx = context.WithValue(ctx, gathererKey, g)
			}
			return ctx
		},
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          100,
			MaxReceiveBufferPerStream:     64 << 10,
			MaxReceiveBufferPerConnection: 1 << 20,
			SendPingTimeout:               30 * time.Second,
			PingTimeout:                   15 * time.Second,
			WriteByteTimeout:              30 * time.Second,
		},
	}
}

// gatherer is a connection that can keep what is written between Gather and Send, and then send it in one piece. What is written must
// not change until then.
type gatherer interface {
	Gather()
	Send() error
}

// lastIfChunked makes a request in chunks, and one of HTTP/1.0, the last one of its connection. net/http believes the coding where a
// request has a length as well, or none where HTTP/1.0 has no such coding, and goes on; a proxy that believes the other takes the rest
// of the body for the next request, of another client. RFC 9112 section 6.1 asks to close then; net/http does not tell the cases apart.
func lastIfChunked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
