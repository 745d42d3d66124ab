package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
)

// nameRule says what namePattern takes.
const nameRule = "1 to 32 of a-z, 0-9 and '-', which is neither the first nor the last"

// checkRouteList checks the list of the replicas' addresses against itself and against the own one. Each address counts as
// one replica: the first start waits for all of them.
func checkRouteList(listen address, routes []address) error {
	if port(listen) == "0" {
		return fmt.Errorf("--cluster-listen %s: the others have to know the port", listen)
	}
	for i, a := range routes {
		if port(a) == "0" {
			return fmt.Errorf("--routes: %s: port 0", a)
		}
		if slices.ContainsFunc(routes[:i], func(b address) bool { return same(a, b) }) {
			return fmt.Errorf("--routes names %s twice: each replica has one address", a)
		}
	}
	// Names and wildcards may stand for anything.
	for _, a := range append([]address{listen}, routes...) {
		if ip := net.ParseIP(host(a)); ip == nil || ip.IsUnspecified() {
			return nil
		}
	}
	if !slices.ContainsFunc(routes, func(a address) bool { return same(a, listen) }) {
		return errors.New("--routes does not name " + string(listen) + ", which is this replica's own --cluster-listen")
	}
	return nil
}

// same reports whether two addresses are written differently at most.
func same(a, b address) bool { return host(a) == host(b) && port(a) == port(b) }

// host returns the host of a, an IP address in its usual form.
func host(a address) string {
	h, _, _ := net.SplitHostPort(string(a)) // checked when it was read
	if h == "localhost" {
		return "127.0.0.1"
	}
	if ip := net.ParseIP(h); ip != nil {
		return ip.String()
	}
	return h
}

// port returns the port of a.
func port(a address) string {
	_, p, _ := net.SplitHostPort(string(a))
	return p
}
