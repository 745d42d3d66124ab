package node

import (
	"maps"

	"github.com/knell-auth/knell/events"
)

// forgetDeleted drops what this replica remembers, beside the state, of a user whom an event has deleted. Verified tokens stay in
// their cache, which tells an id and no name, until others take their place.
func (n *Node) forgetDeleted(p events.Payload) {
	d, ok := p.(*events.UserRevoked)
	if !ok || d.Cause != "deleted" {
		return
	}
	n.hot.basic.drop(d.User)
	n.room.own.drop(d.User)
	n.hot.feed.dropViews()
}

// drop forgets what opened the account of a user, from all networks.
func (m *remembered) drop(user events.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.entries, func(o secretOwner, _ rememberedSecret) bool { return o.id == user })
}

// drop forgets the guesses at an account that are not in the log.
func (o *ownGuesses) drop(account events.ID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.table != nil {
		o.table.DropAccount(account)
	}
}

// dropViews lets no name stay in the ring. Its caller has counted a renaming: a view that is being made is not kept either.
func (f *feed) dropViews() {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.followers == 0 {
		return
	}
	for p := f.first; p < f.next; p++ {
		f.ring[p%f.limit].view.Store(nil)
	}
}
