package natsd

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Routes are taken from below the ports that systems give to outgoing connections (from 32768 on Linux, 49152 elsewhere): a
// port from there may be gone when the server listens on it a moment later.
const (
	firstRoutePort = 16384
	lastRoutePort  = 32767
)

// LoopbackRoutes returns n addresses for the servers of a cluster on this machine, on which nobody listens at the moment.
func LoopbackRoutes(n int) ([]string, error) {
	var routes []string
	var err error
	for tries := 0; len(routes) < n && tries < 100*n; tries++ {
		a := fmt.Sprintf("127.0.0.1:%d", firstRoutePort+rand.IntN(lastRoutePort-firstRoutePort+1))
		var l net.Listener
		if l, err = net.Listen("tcp", a); err != nil {
			continue
		}
		defer l.Close() // at the end, so that no port is given twice
		routes = append(routes, a)
	}
	if len(routes) < n {
		return nil, fmt.Errorf("natsd: no free port: %w", err)
	}
	return routes, nil
}
