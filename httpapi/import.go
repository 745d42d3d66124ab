package httpapi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/knell-auth/knell/node"
)

// Importer says whether a user or a client could be created, and hashes passwords while log-ins go first.
type Importer interface {
	CheckUser(node.NewUser) error
	HashPassword(ctx context.Context, password string) (hash string, err error)
	CheckClient(node.NewClient) error
	HashSecret(context.Context, node.NewClient) (node.NewClient, error)
}

// importHandler serves POST /users/import and /clients/import on the local socket.
type importHandler struct {
	*api
	n     LocalNode
	parse func(n LocalNode, line []byte) (importItem, error)
}

// importBatch is how many users or clients are created at the same time.
const importBatch = 64

// importRecord is a line of the request, and then of the answer.
type importRecord struct {
	Line   int    `json:"line"`
	Name   string `json:"name,omitempty"` // of a client its id
	Status string `json:"status"`         // created, exists, error; in a dry run valid instead of created
	ID     string `json:"id,omitempty"`
	Error  string `json:"error,omitempty"`

	item importItem
}

// importEnd is the last line. An answer without it was cut off.
type importEnd struct {
	DryRun  bool `json:"dry_run"`
	Created int  `json:"created"` // in a dry run: would be
	Exists  int  `json:"exists"`
	Errors  int  `json:"errors"`
}

// serve reads NDJSON, one user or client a line with the members of POST /users or /clients, and answers one line for each, in
// order, whatever came of the ones before. Of two lines with one name the first counts. With the query dry_run=true nothing is
// changed.
func (h *importHandler) serve(w http.ResponseWriter, r *http.Request) {
	dryRun := r.URL.RawQuery == "dry_run=true"
	types := r.Header["Content-Type"]
	switch {
	case r.URL.RawQuery != "" && !dryRun:
		fail(w, r, h.n, badRequest("the only parameter is dry_run=true"))
		return
	case len(types) != 1 || !isMediaType(types[0], ndjson):
		fail(w, r, h.n, &requestError{answer{status: http.StatusUnsupportedMediaType, text: "the body must be " + ndjson}})
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(requestOf(r).commands, cancel)()
	// The errors say that there is no connection, as in a test.
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex()
	run := &importRun{h: h, origin: h.origin(r), dryRun: dryRun, end: importEnd{DryRun: dryRun}, named: map[string]bool{}}
	run.origin.Reason = "import"
	run.in = bufio.NewReaderSize(patientReader{r.Body, control}, maxJSON)
	run.out = newLineWriter(w)
	if err := run.all(ctx); err != nil {
		// The missing end and the cut connection say that this is not all.
		h.log.LogAttrs(r.Context(), slog.LevelWarn, "import ended early", slog.Any("error", err))
		panic(http.ErrAbortHandler)
	}
}

// patientReader reads a body for which the server's time for a whole request would not do. It holds for each part of it.
type patientReader struct {
	body    io.Reader
	control *http.ResponseController
}

// Read implements io.Reader.
func (p patientReader) Read(b []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(writeTimeout))
	return p.body.Read(b)
}

// importRun is one request.
type importRun struct {
	h      *importHandler
	in     *bufio.Reader
	out    *lineWriter
	origin node.Origin
	dryRun bool
	line   int
	named  map[string]bool // in a dry run: names of lines that would have been created
	end    importEnd
}

func (run *importRun) all(ctx context.Context) error {
	for {
		batch, err := run.read()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		run.create(ctx, batch)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if e := run.write(batch); e != nil {
			return e
		}
		if err != nil {
			break
		}
	}
	if err := run.out.write(map[string]importEnd{"end": run.end}); err != nil {
		return err
	}
	return run.out.buf.Flush()
}

// read returns the next lines, with io.EOF when they are the last.
func (run *importRun) read() (batch []*importRecord, err error) {
	for len(batch) < importBatch && err == nil {
		var line []byte
		line, err = run.in.ReadSlice('\n')
		tooLong := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = run.in.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if len(line) == 0 { // the end
			break
		}
		run.line++
		if !tooLong && strings.TrimSpace(string(line)) == "" {
			continue
		}
		rec := &importRecord{Line: run.line}
		batch = append(batch, rec)
		if tooLong {
			rec.fail(badRequest("the line is longer than %d bytes", maxJSON))
			continue
		}
		item, wrong := run.h.parse(run.h.n, line)
		if wrong != nil {
			rec.fail(wrong)
			continue
		}
		rec.item, rec.Name = item, item.name()
	}
	return batch, err
}

// fail notes err as what came of the record.
func (rec *importRecord) fail(err error) {
	rec.Status = "error"
	if errors.Is(err, node.ErrExists) {
		rec.Status = "exists"
		return
	}
	ans, _ := classify(err)
	rec.Error = strings.TrimPrefix(ans.text, node.ErrBadRequest.Error()+": ")
}

// create creates what a batch describes: those of different names at the same time, those of one name one after the other.
func (run *importRun) create(ctx context.Context, batch []*importRecord) {
	byName := map[string][]*importRecord{}
	for _, rec := range batch {
		switch {
		case rec.Status != "": // it could not be read
		case run.dryRun:
			run.checkOne(rec)
		default:
			byName[rec.Name] = append(byName[rec.Name], rec)
		}
	}
	var work sync.WaitGroup
	for _, records := range byName {
		work.Go(func() {
			for _, rec := range records {
				run.createOne(ctx, rec)
			}
		})
	}
	work.Wait()
}

func (run *importRun) createOne(ctx context.Context, rec *importRecord) {
	err := rec.item.hash(ctx)
	var id string
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, run.h.logoutWait)
		defer cancel()
		id, err = rec.item.create(ctx, run.origin)
	}
	if err != nil {
		rec.fail(err)
		if _, known := classify(err); !known {
			run.h.log.LogAttrs(ctx, slog.LevelError, "importing a line failed", slog.Int("line", rec.Line), slog.Any("error", err))
		}
		return
	}
	rec.Status, rec.ID = "created", id
}

func (run *importRun) checkOne(rec *importRecord) {
	if err := rec.item.check(); err != nil {
		rec.fail(err)
		return
	}
	if run.named[rec.Name] {
		rec.Status = "exists"
		return
	}
	run.named[rec.Name] = true
	rec.Status = "valid"
}

// write answers the records of a batch and counts them.
func (run *importRun) write(batch []*importRecord) error {
	for _, rec := range batch {
		switch rec.Status {
		case "exists":
			run.end.Exists++
		case "error":
			run.end.Errors++
		default:
			run.end.Created++
		}
		if err := run.out.write(rec); err != nil {
			return err
		}
	}
	return nil
}
