package httpapi

import (
	"net/http"

	"github.com/knell-auth/knell/node"
)

// transparencyOperations are the proofs of what is in the log.
func (a *api) transparencyOperations() []operation {
	list := []operation{
		{
			path: "/transparency/key", serve: a.logKey, summary: "The key that checkpoints and receipts are verified with",
			text:    "One line: a verifier key of C2SP signed-note. There is one for each epoch of the log.",
			replies: []reply{{status: http.StatusOK, text: "The key.", media: mediaText}},
		},
		{
			path: "/transparency/checkpoint", serve: a.checkpoint, summary: "The signed head of the log's Merkle tree",
			text:    "C2SP tlog-checkpoint.",
			params:  []parameter{{in: "query", name: "size", text: "That of the tree of the first so many leaves; 0: of all."}},
			replies: []reply{{status: http.StatusOK, text: "A signed note.", media: mediaText}, replyNotFound},
		},
		{
			path: "/transparency/consistency", serve: a.consistency, summary: "That the log has only grown since it had a size",
			text: "What a witness is sent (C2SP tlog-witness): a line with the old size, hashes, an empty line and a checkpoint.",
			params: []parameter{
				{in: "query", name: "old", text: "The earlier size.", required: true},
				{in: "query", name: "size", text: "The later one; 0: that of the whole tree."},
			},
			replies: []reply{{status: http.StatusOK, text: "The proof.", media: mediaText}, replyNotFound},
		},
		{
			path: "/transparency/range", serve: a.leafRange, summary: "What stands for the leaves before an event",
			text:    "With it the tree can be computed by whoever has only what comes later.",
			params:  []parameter{{in: "query", name: "before", text: "Sequence of the event.", required: true}},
			replies: []reply{{status: http.StatusOK, text: "The compact range of the leaves.", body: node.LeafRange{}}},
		},
		{
			path: "/events/{seq}/proof", serve: a.eventProof, summary: "That an event is in the log",
			text:    "C2SP tlog-proof, with the leaf as its extra data for as long as the log has the event.",
			params:  []parameter{{in: "path", name: "seq", text: "The event's sequence.", required: true}},
			replies: []reply{{status: http.StatusOK, text: "The proof.", media: mediaText}, replyNotFound},
		},
	}
	tile := operation{
		serve: a.treeTile, summary: "A tile of the log's Merkle tree",
		text: "C2SP tlog-tiles: `<L>/<N>[.p/<W>]` are hashes, `entries/<N>[.p/<W>]` is a bundle of leaves. `<N>` has three digits in each part, " +
			"and an `x` before each part but the last.",
		params: []parameter{{in: "path", name: "level", text: "Level of the tile, or `entries`.", required: true}},
		replies: []reply{
			{status: http.StatusOK, text: "The tile.", media: mediaBinary}, replyNotFound,
			{status: http.StatusGone, text: "The log does not have all entries of the bundle any more."},
		},
	}
	tile.path = pathTiles + "{level}"
	for _, part := range []string{"a", "b", "c", "d"} {
		tile.path += "/{" + part + "}"
		tile.params = append(tile.params[:len(tile.params):len(tile.params)],
			parameter{in: "path", name: part, text: "Part of number and width.", required: true})
		list = append(list, tile)
	}
	for i := range list {
		list[i].method, list[i].guard, list[i].scope = http.MethodGet, guardScope, "audit"
	}
	return list
}

// replyReceipt is the answer to who asked for a receipt.
var replyReceipt = reply{status: http.StatusOK, text: "Done, as with 204, and its receipt; only upon `Prefer: return=representation`.",
	body: node.Receipt{}, headers: []string{"Server-Timing", "Preference-Applied"}}
