package httpapi

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// Backups writes backups of the log.
type Backups interface {
	Backup(ctx context.Context, to io.Writer) error
}

// backupHandler serves GET /backup on the local socket.
type backupHandler struct {
	*api
	n LocalNode
}

// serve answers with a backup of the log. It has secrets in it. One that was cut off is known by its end, which is missing.
func (h *backupHandler) serve(w http.ResponseWriter, r *http.Request) {
	out := &patientWriter{w: w}
	buf := bufio.NewWriterSize(out, 64<<10)
	err := h.n.Backup(r.Context(), buf)
	if err == nil {
		err = buf.Flush()
	}
	switch {
	case err == nil:
	case !out.begun:
		fail(w, r, h.api.n, err)
	default:
		h.log.LogAttrs(r.Context(), slog.LevelWarn, "a backup ended early", slog.Any("error", err))
		panic(http.ErrAbortHandler)
	}
}

// patientWriter writes an answer for which the server's time for a whole answer would not do. It holds for each part of it.
type patientWriter struct {
	w     http.ResponseWriter
	begun bool // something was sent
}

// Write implements io.Writer.
func (p *patientWriter) Write(b []byte) (int, error) {
	// The error says that there is no connection with a limit, as in a test.
	_ = http.NewResponseController(p.w).SetWriteDeadline(time.Now().Add(writeTimeout))
	if !p.begun {
		p.begun = true
		p.w.Header().Set("Content-Type", "application/octet-stream")
	}
	return p.w.Write(b)
}
