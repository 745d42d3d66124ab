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

// Importer says whether a user could be created, and hashes passwords while log-ins go first.
type Importer interface {
	CheckUser(node.NewUser) error
	HashPassword(ctx context.Context, password string) (hash string, err error)
}

// importHandler serves POST /users/import on the local socket.
type importHandler struct {
	*api
	importer Importer
}

// importBatch is how many users are created at the same time.
const importBatch = 64

// importRecord is a line of the request, and then of the answer.
type importRecord struct {
	Line   int    `json:"line"`
	Name   string `json:"name,omitempty"`
	Status string `json:"status"` // created, exists, error; in a dry run valid instead of created
	ID     string `json:"id,omitempty"`
	Error  string `json:"error,omitempty"`

	user node.NewUser
	key  string // the name as it is kept
}

// importEnd is the last line. An answer without it was cut off.
type importEnd struct {
	DryRun  bool `json:"dry_run"`
	Created int  `json:"created"` // in a dry run: would be
	Exists  int  `json:"exists"`
	Errors  int  `json:"errors"`
}

// serve reads NDJSON, one user a line with the members of POST /users, and answers one line for each, in order, whatever
// came of the ones before. Of two lines with one name the first counts. With the query dry_run=true nothing is changed.
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
		h.log.LogAttrs(r.Context(), slog.LevelWarn, "import of users ended early", slog.Any("error", err))
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
		rec.parse(line)
	}
	return batch, err
}

// parse reads the user in a line.
func (rec *importRecord) parse(line []byte) {
	u := &rec.user
	err := decodeObject(line, members{
		"name": &u.Name, "password": &u.Password, "hash": &u.Hash, "email": &u.Email, "full_name": &u.FullName,
		"roles": &u.Roles, "scopes": &u.Scope, "disabled": &u.Disabled,
	}, "name")
	if err == nil {
		rec.key, err = node.NormalName(u.Name)
	}
	if err != nil {
		rec.fail(err)
		return
	}
	rec.Name = rec.key
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

// create creates the users of a batch: those of different names at the same time, those of one name one after the other.
func (run *importRun) create(ctx context.Context, batch []*importRecord) {
	byName := map[string][]*importRecord{}
	for _, rec := range batch {
		switch {
		case rec.Status != "": // it could not be read
		case run.dryRun:
			run.checkOne(rec)
		default:
			byName[rec.key] = append(byName[rec.key], rec)
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
	u, err := run.withHash(ctx, rec.user)
	var created node.User
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, run.h.logoutWait)
		defer cancel()
		created, err = run.h.n.CreateUser(ctx, u, run.origin)
	}
	if err != nil {
		rec.fail(err)
		if _, known := classify(err); !known {
			run.h.log.LogAttrs(ctx, slog.LevelError, "importing a user failed", slog.Int("line", rec.Line), slog.Any("error", err))
		}
		return
	}
	rec.Status, rec.ID = "created", created.ID.String()
}

// withHash returns u with the hash of its password instead of that. However long the hash has to wait for log-ins, the import
// waits with it. Who is there already is not hashed for.
func (run *importRun) withHash(ctx context.Context, u node.NewUser) (node.NewUser, error) {
	if u.Password == "" {
		return u, nil
	}
	err := run.h.importer.CheckUser(u)
	if err == nil {
		u.Hash, err = run.h.importer.HashPassword(ctx, u.Password)
	}
	u.Password = ""
	return u, err
}

func (run *importRun) checkOne(rec *importRecord) {
	if err := run.h.importer.CheckUser(rec.user); err != nil {
		rec.fail(err)
		return
	}
	if run.named[rec.key] {
		rec.Status = "exists"
		return
	}
	run.named[rec.key] = true
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
