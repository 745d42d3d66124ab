package main

import "net"

// openExtAuthz opens the listener for Envoy, nil when there is to be none.
func (c *serveCmd) openExtAuthz() (net.Listener, error) {
	if c.Authz == "" {
		return nil, nil
	}
	return listen("ext-authz-listen", c.Authz)
}
