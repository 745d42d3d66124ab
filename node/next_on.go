//go:build knell_next

package node

import (
	"context"

	"github.com/knell-auth/knell/events"
)

// Next writes an event of the next version, for tests of upgrades; an optional one may be passed over by older versions.
func (n *Node) Next(ctx context.Context, optional bool, o Origin) error {
	var d events.Payload = &events.Next{Text: "next"}
	if optional {
		d = &events.NextHint{Text: "hint"}
	}
	_, err := n.commit(ctx, n.newEvent(d, n.cfg.Name, o), plain)
	return err
}
