package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/knell-auth/knell/node"
)

// Transparency proves what is in the log.
type Transparency interface {
	LogKey() (string, error)
	Checkpoint(ctx context.Context, size uint64) ([]byte, error)
	TreeTile(ctx context.Context, path string) ([]byte, error)
	ProveEvent(ctx context.Context, seq uint64) ([]byte, error)
	ProveConsistency(ctx context.Context, old, size uint64) ([]byte, error)
	LeavesBefore(ctx context.Context, seq uint64) (node.LeafRange, error)
	Receipt(context.Context, *node.Timing) (*node.Receipt, error)
}

const (
	mediaPlain  = "text/plain; charset=utf-8"
	mediaBinary = "application/octet-stream"

	pathTiles = "/transparency/tile/"
	// unchanging is said of tiles: whatever they are asked for by does not become another one. They are for whoever may read them.
	unchanging = "private, max-age=31536000, immutable"
)

// logKey serves GET /transparency/key.
func (a *api) logKey(w http.ResponseWriter, r *http.Request) {
	key, err := a.n.LogKey()
	a.answerText(w, r, []byte(key+"\n"), err)
}

// checkpoint serves GET /transparency/checkpoint.
func (a *api) checkpoint(w http.ResponseWriter, r *http.Request) {
	sizes, err := numbers(r, "size")
	var note []byte
	if err == nil {
		note, err = a.n.Checkpoint(r.Context(), sizes["size"])
	}
	a.answerText(w, r, note, err)
}

// treeTile serves the tiles below /transparency/tile/. A bundle of entries is as large as a page of events.
func (a *api) treeTile(w http.ResponseWriter, r *http.Request) {
	a.shareEvents(w, r, true, func() { a.answerTile(w, r) })
}

func (a *api) answerTile(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, pathTiles)
	data, err := a.n.TreeTile(r.Context(), path)
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mediaBinary)
	h.Set("Content-Length", strconv.Itoa(len(data)))
	if !strings.HasPrefix(path, "entries/") {
		h.Set("Cache-Control", unchanging)
	}
	_, _ = w.Write(data)
}

// consistency serves GET /transparency/consistency.
func (a *api) consistency(w http.ResponseWriter, r *http.Request) {
	sizes, err := numbers(r, "old", "size")
	var proof []byte
	if _, given := sizes["old"]; err == nil && !given {
		err = badRequest("parameter \"old\" is missing")
	}
	if err == nil {
		proof, err = a.n.ProveConsistency(r.Context(), sizes["old"], sizes["size"])
	}
	a.answerText(w, r, proof, err)
}

// leafRange serves GET /transparency/range.
func (a *api) leafRange(w http.ResponseWriter, r *http.Request) {
	given, err := numbers(r, "before")
	var list node.LeafRange
	if err == nil {
		list, err = a.n.LeavesBefore(r.Context(), given["before"])
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	writeJSON(w, http.StatusOK, list)
}

// eventProof serves GET /events/{seq}/proof.
func (a *api) eventProof(w http.ResponseWriter, r *http.Request) {
	var seq uint64
	var proof []byte
	err := setPosition(&seq, "the event", chi.URLParam(r, "seq"))
	if err == nil {
		proof, err = a.n.ProveEvent(r.Context(), seq)
	}
	a.answerText(w, r, proof, err)
}

// answerText answers with a text.
func (a *api) answerText(w http.ResponseWriter, r *http.Request, text []byte, err error) {
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	w.Header().Set("Content-Type", mediaPlain)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text)
}

// numbers returns the parameters of a query, which may have no others than these, and none twice.
func numbers(r *http.Request, names ...string) (map[string]uint64, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("the query is malformed")
	}
	given := map[string]uint64{}
	for _, name := range names {
		list, ok := values[name]
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(list[0], 10, 62)
		if err != nil || len(list) > 1 {
			return nil, badRequest("parameter %q must be one whole number from 0 on", name)
		}
		given[name] = n
		delete(values, name)
	}
	for name := range values {
		return nil, badRequest("parameter %q is unknown here", shorten(name))
	}
	return given, nil
}

// receiptTimeout bounds the making of a receipt: what it is about is done already.
const receiptTimeout = 5 * time.Second

// receipt answers with the receipt of a command that is complete. It returns false, and has answered nothing, when there is none:
// the command is done all the same.
func (a *api) receipt(w http.ResponseWriter, r *http.Request, t *node.Timing) bool {
	ctx, cancel := commandContext(r, receiptTimeout)
	defer cancel()
	receipt, err := a.n.Receipt(ctx, t)
	if err != nil || receipt == nil {
		return false
	}
	w.Header().Add("Preference-Applied", "return=representation")
	writeJSON(w, http.StatusOK, receipt)
	return true
}
