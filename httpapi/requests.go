package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

type contextKey int

const (
	requestKey contextKey = iota
	identityKey
	gathererKey
)

// request is what is known about a request before anything is decided.
type request struct {
	id       string          // request id, a trusted proxy's or a new one
	address  string          // client address
	commands context.Context // commands end with it
	log      *slog.Logger
}

// requests gives each request its id and its client address, and echoes the id.
func (a *api) requests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, a.identify(w, r)) })
}

// identify returns r with what requestOf returns in its context, and echoes the request id.
func (a *api) identify(w http.ResponseWriter, r *http.Request) *http.Request {
	r = a.identified(r)
	w.Header().Set("X-Request-Id", requestOf(r).id)
	return r
}

// identified returns r with what requestOf returns in its context, unless it is there already.
func (a *api) identified(r *http.Request) *http.Request {
	if r.Context().Value(requestKey) != nil {
		return r
	}
	q := &request{requestID(r, a.proxies), clientAddress(r, a.proxies), a.commands, a.log}
	return r.WithContext(context.WithValue(r.Context(), requestKey, q))
}

// requestOf returns what the requests middleware found out about r, or, where a service mounts only the
// authentication, nothing but a logger.
func requestOf(r *http.Request) *request {
	if q, ok := r.Context().Value(requestKey).(*request); ok {
		return q
	}
	return &request{commands: context.Background(), log: slog.Default()}
}

// origin says who asks for a command and from where.
func (a *api) origin(r *http.Request) node.Origin {
	q := requestOf(r)
	o := node.Origin{Address: q.address, UserAgent: r.UserAgent(), RequestID: q.id}
	if a.local {
		o.Actor = "local"
	} else if id, ok := IdentityFrom(r.Context()); ok {
		o.Actor = id.Subject()
	}
	return o
}

// maxRequestID is the length in bytes up to which a proxy's request id is taken over.
const maxRequestID = 64

// requestID returns the X-Request-Id of a trusted proxy, or of a command on this machine, if it is one and well-formed;
// otherwise a new one. Clients have no say in it: by an id that they chose they could hide in other requests' records.
func requestID(r *http.Request, proxies []netip.Prefix) string {
	values := r.Header["X-Request-Id"]
	if len(values) != 1 || !isRequestID(values[0]) {
		return events.NewID().String()
	}
	if !believed(r, proxies) {
		return events.NewID().String()
	}
	return values[0]
}

// believed reports whether what a request says beside its own matter comes from a trusted proxy or a command on this machine: its id, and
// the trace that it is part of. Of others such a thing is made up, and may cost us more than the request.
func (a *api) believed(r *http.Request) bool { return believed(r, a.proxies) }

func believed(r *http.Request, proxies []netip.Prefix) bool {
	peer, ok := peerOf(r)
	return !ok || trusted(peer, proxies)
}

// peerOf returns the address at the other end of the connection; ok is false for one without an IP address (a Unix socket).
func peerOf(r *http.Request) (addr netip.Addr, ok bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return peer.Addr().Unmap().WithZone(""), err == nil
}

func isRequestID(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return s != "" && len(s) <= maxRequestID
}

// clientAddress returns the address of the client: that of the connection, unless it is a trusted proxy's. Then it is the
// right-most untrusted entry of X-Forwarded-For: everything left of it is the client's own claim. An entry that is no
// address ends the search at the proxy that reported it. "" for a connection without an IP address (a Unix socket). Forwarded
// (RFC 7239) is not read: a proxy that sets one of the two passes the other on as the client made it up.
func clientAddress(r *http.Request, proxies []netip.Prefix) string {
	addr, ok := peerOf(r)
	if !ok {
		return ""
	}
	if len(proxies) == 0 || !trusted(addr, proxies) {
		return addr.String()
	}
	rest := strings.Join(r.Header["X-Forwarded-For"], ",")
	for rest != "" && trusted(addr, proxies) {
		var entry string
		if i := strings.LastIndexByte(rest, ','); i >= 0 {
			rest, entry = rest[:i], rest[i+1:]
		} else {
			rest, entry = "", rest
		}
		next, ok := parseForwarded(strings.TrimSpace(entry))
		if !ok {
			break
		}
		addr = next
	}
	return addr.String()
}

// parseForwarded returns the address in s, which may have a port.
func parseForwarded(s string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

func trusted(addr netip.Addr, proxies []netip.Prefix) bool {
	for _, p := range proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
