package httpapi

import (
	"cmp"
	"encoding/binary"
	"sync/atomic"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// Headers that tell a service behind a proxy who asks. All four are always set, so that a proxy that copies them
// overwrites what a client made up.
const (
	headerUser    = "X-Knell-User"
	headerScopes  = "X-Knell-Scopes"
	headerRoles   = "X-Knell-Roles"
	headerSession = "X-Knell-Session"
)

// identityHeaders are the header values of one identity, built once. Arrays of one string, because a header value is a
// slice. Never written to after they were built.
type identityHeaders struct {
	id                           node.Identity
	user, scopes, roles, session [1]string
}

// headerSlots is the number of identities whose headers are kept: 512 KiB of pointers.
const headerSlots = 1 << 16

// headerCache keeps the headers of identities seen lately, one a slot; the slot is given by the id of the session, of the API
// key, or of the user who has neither: all are random. It decides nothing: an entry counts only for an identity that has just been verified. The zero headerCache is empty.
// Safe for concurrent use: a slot is one pointer to something immutable.
type headerCache struct {
	slots [headerSlots]atomic.Pointer[identityHeaders]
}

// of returns the headers of id.
func (c *headerCache) of(id node.Identity) *identityHeaders {
	spread := id.Session()
	if spread.IsZero() {
		spread, _ = events.ParseID(cmp.Or(id.TokenID(), id.Subject()))
	}
	slot := &c.slots[binary.LittleEndian.Uint64(spread[:])%headerSlots]
	if h := slot.Load(); h != nil && h.id == id {
		return h
	}
	h := newIdentityHeaders(id)
	slot.Store(h)
	return h
}

// newIdentityHeaders builds the headers of id. The texts are parts of one string, so that they lie beside each other.
func newIdentityHeaders(id node.Identity) *identityHeaders {
	h := &identityHeaders{id: id}
	var b []byte
	if isVisible(id.Subject()) {
		b = append(b, id.Subject()...)
	}
	user := len(b)
	b = appendNames(b, id.Scopes())
	scopes := len(b)
	b = appendNames(b, id.Roles())
	roles := len(b)
	if session := id.Session(); !session.IsZero() {
		b = append(b, session.String()...)
	}
	all := string(b)
	h.user[0], h.scopes[0], h.roles[0], h.session[0] = all[:user], all[user:scopes], all[scopes:roles], all[roles:]
	return h
}

// appendNames appends the names, separated by spaces, without those that such a list cannot hold: a service behind the proxy
// must not read more into the list than was granted.
func appendNames(b []byte, names []string) []byte {
	start := len(b)
	for _, name := range names {
		if !isScopeToken(name) {
			continue
		}
		if len(b) > start {
			b = append(b, ' ')
		}
		b = append(b, name...)
	}
	return b
}
