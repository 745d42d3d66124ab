package main

import (
	"fmt"
	"net"

	"github.com/knell-auth/knell/internal/replica"
	"github.com/knell-auth/knell/internal/tracing"
)

// telemetryFlags are the settings of what operators see.
type telemetryFlags struct {
	PrivateListen address `env:"KNELL_PRIVATE_LISTEN" placeholder:"ADDR" help:"Where metrics (/metrics) and profiles (/debug/pprof/) are served: a loopback or private address, without authentication. Default: nowhere."`
	OTLPEndpoint  string  `name:"otlp-endpoint" env:"KNELL_OTLP_ENDPOINT" placeholder:"URL" help:"OTLP/HTTP receiver of traces, such as http://127.0.0.1:4318. The OTEL_ variables for sampler, headers and limits count. Default: no traces."`
	AccessLog     bool    `env:"KNELL_ACCESS_LOG" help:"Log a line for each request: method, route, status, duration, request id and trace id."`
}

func (f *telemetryFlags) check(c *serveCmd) []error {
	var err error
	if f.OTLPEndpoint != "" {
		if err = tracing.CheckEndpoint(f.OTLPEndpoint); err != nil {
			err = fmt.Errorf("--otlp-endpoint %w", err)
		}
	}
	same := f.PrivateListen != "" && (f.PrivateListen == c.Listen || f.PrivateListen == c.Authz)
	return []error{err, unless(!same, "--private-listen %s is public: give it an address of its own", f.PrivateListen)}
}

// tracing returns where traces go, nil for nowhere.
func (f *telemetryFlags) tracing() *tracing.Config {
	if f.OTLPEndpoint == "" {
		return nil
	}
	return &tracing.Config{Endpoint: f.OTLPEndpoint}
}

// openPrivate opens the listener of metrics and profiles, nil when there is to be none.
func (f *telemetryFlags) openPrivate() (net.Listener, error) {
	return listenPrivate("private-listen", f.PrivateListen)
}

// listenPrivate opens the listener of a flag that is not for everybody: who can reach it needs no password. nil for no address. A name is
// looked up, and the address that it has now is taken.
func listenPrivate(flag string, a address) (net.Listener, error) {
	if a == "" {
		return nil, nil
	}
	host, port, err := net.SplitHostPort(string(a))
	if err != nil {
		return nil, usagef("--%s %s: %w", flag, a, err)
	}
	ips := []net.IP{net.ParseIP(host)}
	if ips[0] == nil && host != "" {
		if ips, err = net.LookupIP(host); err != nil {
			return nil, usagef("--%s %s: %w", flag, a, err)
		}
	}
	for _, ip := range ips {
		if !replica.PrivateAddr(ip) {
			return nil, usagef("--%s %s: want a loopback or private address, or a name of one: who can reach it is not asked who it is", flag, a)
		}
	}
	return listen(flag, address(net.JoinHostPort(ips[0].String(), port)))
}
