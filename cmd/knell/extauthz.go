package main

import "net"

// openExtAuthz opens the listener for Envoy, nil when there is to be none.
func (c *serveCmd) openExtAuthz() (net.Listener, error) {
	if c.Authz == "" {
		return nil, nil
	}
	return listen("ext-authz-listen", c.Authz)
}

// openReaders opens the listener for those who read events, nil when there is to be none.
func (c *serveCmd) openReaders() (net.Listener, error) {
	if c.Cluster.NatsListen == "" {
		return nil, nil
	}
	return listen("nats-listen", c.Cluster.NatsListen)
}
