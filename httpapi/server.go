package httpapi

import (
	"net/http"
	"time"
)

// writeTimeout is longer than the longest logout (Config.LogoutWait).
const writeTimeout = 60 * time.Second

// Server returns a server for h at addr with limits on what a slow or greedy client can hold: 5 s for the headers, 10 s
// for the whole request, 60 s for the answer, 2 minutes idle, 16 KiB of headers (more is 431). It is not started.
func Server(addr string, h http.Handler) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    12 << 10, // net/http allows 4 KiB more
	}
}
