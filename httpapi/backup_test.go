package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/knell-auth/knell/node"
)

// A backup is given out on the socket alone.
func TestBackup(t *testing.T) {
	w := newWorld(t)
	got := call(NewLocal(w.node, Config{}), "GET", "/backup", "")
	expect(t, got, 200, "Content-Type: application/octet-stream")
	if info, err := node.CheckBackup(t.Context(), got.Body); err != nil || info.Users == 0 {
		t.Errorf("%v, %+v", err, info)
	}
	expect(t, call(w.handler, "GET", "/backup", ""), 404)
}

// half is a node whose backup breaks off.
type half struct {
	scripted
	size int
}

func (h *half) Backup(_ context.Context, to io.Writer) error {
	_, err := to.Write(make([]byte, h.size))
	return errors.Join(err, node.ErrClosed)
}

// A backup that breaks off is an error, and never an answer that looks whole.
func TestBackupThatEndsEarly(t *testing.T) {
	expect(t, call(NewLocal(&half{size: 10}, Config{}), "GET", "/backup", ""), 503)
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("the connection is not cut: %v", p)
		}
	}()
	got := call(NewLocal(&half{size: 1 << 20}, Config{}), "GET", "/backup", "")
	t.Errorf("answered %d with %d bytes", got.Code, len(bytes.TrimSpace(got.Body.Bytes())))
}
