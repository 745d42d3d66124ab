// Package export keeps events in a file that is whole or not there. While it is written it is called NAME.part, with what it will be in
// NAME.plan beside it; after a crash it goes on behind its last whole event. It owns these files and their formats, and knows nothing of
// where events come from.
package export

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/knell-auth/knell/internal/durable"
)

// Format is what a file is at its end.
type Format string

// The formats.
const (
	NDJSON  Format = "ndjson"  // one CloudEvent a line
	Parquet Format = "parquet" // see row
)

// Plan is what a file will be. Who goes on with it must want the same.
type Plan struct {
	Format Format `json:"format"`
	Query  string `json:"query"` // what was asked for, in the words of whoever asked
	Epoch  string `json:"epoch"` // of the log
	After  uint64 `json:"after"` // it has events after this sequence
	UpTo   uint64 `json:"up_to"` // up to and with this one
	// Since and Before bound the times of its events; zero: they do not.
	Since  time.Time `json:"since,omitzero"`
	Before time.Time `json:"before,omitzero"`
}

// Errors of Open.
var (
	// ErrOther: there is a part of another file of this name.
	ErrOther = errors.New("there is a part of an export that was asked for otherwise")
	// ErrBusy: somebody else writes it.
	ErrBusy = errors.New("another export writes it")
)

// File is an export under way. It is used by one goroutine.
type File struct {
	Plan   Plan
	path   string
	part   *os.File
	at     uint64 // sequence of the last event; Plan.After: there is none
	events int64
	size   int64

	current bool // an event of the plan's epoch was there
}

// Open begins the file at path, or goes on with the part of it that is there. want returns the plan of a new one: it is called when
// there is no part. With a part, the plan of that holds, if its format and query are these. The error is fs.ErrExist when the whole file
// is there, ErrOther or ErrBusy.
func Open(path string, format Format, query string, want func() (Plan, error)) (*File, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = &fs.PathError{Op: "export", Path: path, Err: fs.ErrExist}
		}
		return nil, err
	}
	part, err := os.OpenFile(path+".part", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600) // a link of somebody else's leads elsewhere
	if err != nil {
		return nil, err
	}
	f := &File{path: path, part: part}
	if err := f.begin(format, query, want); err != nil {
		part.Close()
		return nil, err
	}
	return f, nil
}

func (f *File) begin(format Format, query string, want func() (Plan, error)) error {
	if err := unix.Flock(int(f.part.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s: %w", f.part.Name(), ErrBusy)
	}
	mine, err := f.part.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Stat(f.part.Name()); err != nil || !os.SameFile(mine, now) {
		return fmt.Errorf("%s: %w", f.part.Name(), ErrBusy) // it has been finished, or thrown away, just now
	}
	text, err := os.ReadFile(f.planPath())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if f.Plan, err = want(); err != nil {
			return errors.Join(err, os.Remove(f.part.Name()))
		}
		if err := f.part.Truncate(0); err != nil { // whatever it is, nobody knows of what
			return err
		}
		f.Plan.Format, f.Plan.Query = format, query
		if err := f.writePlan(); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(text, &f.Plan); err != nil {
			return fmt.Errorf("%s: %w", f.planPath(), err)
		}
		if f.Plan.Format != format || f.Plan.Query != query {
			return fmt.Errorf("%s: %w (%s, %s)", f.part.Name(), ErrOther, f.Plan.Format, f.Plan.Query)
		}
	}
	return f.recover()
}

func (f *File) planPath() string { return f.path + ".plan" }

// writePlan writes the plan before anything else is there.
func (f *File) writePlan() error {
	text, err := json.Marshal(f.Plan)
	if err != nil {
		return err
	}
	temp := f.planPath() + ".new"
	if err := writeSynced(temp, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	}); err != nil {
		return err
	}
	return durable.Rename(temp, f.planPath())
}

// recover finds the last whole event of the part, and cuts off what comes behind it: half a line, or what a file system made of one that
// was not synced.
func (f *File) recover() error {
	f.at = f.Plan.After
	in := bufio.NewReaderSize(f.part, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		e, err := parse(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil || e.seq <= f.at || !f.fits(e) {
			break
		}
		f.at, f.events, f.size = e.seq, f.events+1, f.size+int64(len(line))
	}
	if err := f.part.Truncate(f.size); err != nil {
		return err
	}
	_, err := f.part.Seek(f.size, io.SeekStart)
	return err
}

// fits reports whether e can be of the log that the plan names. One that was restored begins with events of earlier epochs.
func (f *File) fits(e *event) bool {
	f.current = f.current || e.Epoch == f.Plan.Epoch
	return !f.current || e.Epoch == f.Plan.Epoch || e.Sealed != "" && e.Epoch == "" // which does not say of which it is
}

// At returns the sequence of the last event in the file; with none, Plan.After.
func (f *File) At() uint64 { return f.at }

// Events returns how many there are.
func (f *File) Events() int64 { return f.events }

// Size returns what they take as NDJSON, in bytes.
func (f *File) Size() int64 { return f.size }

// Append adds events, each of them one line without its end, in order. The first of each call must be of the log that the plan names.
func (f *File) Append(lines [][]byte) error {
	if len(lines) == 0 {
		return nil
	}
	var last *event
	for _, line := range [...][]byte{lines[0], lines[len(lines)-1]} {
		e, err := parse(line)
		if err == nil && !f.fits(e) {
			err = fmt.Errorf("the log is another one now (epoch %s, not %s): it was restored, and sequences mean something else", e.Epoch, f.Plan.Epoch)
		}
		if err != nil {
			return err
		}
		last = e
	}
	n := 0
	for _, line := range lines {
		n += len(line) + 1
	}
	all := make([]byte, 0, n)
	for _, line := range lines {
		all = append(append(all, line...), '\n')
	}
	if _, err := f.part.Write(all); err != nil {
		return err
	}
	f.at, f.events, f.size = last.seq, f.events+int64(len(lines)), f.size+int64(n)
	return nil
}

// Finish makes the whole file of the part, under its name, and closes it. progress is told now and then which part of the work is done.
func (f *File) Finish(progress func(share float64)) error {
	defer f.part.Close()
	if err := f.part.Sync(); err != nil {
		return err
	}
	if f.Plan.Format == NDJSON {
		return f.rename(f.part.Name())
	}
	temp := f.path + ".new"
	err := writeSynced(temp, func(w io.Writer) error {
		if _, err := f.part.Seek(0, io.SeekStart); err != nil {
			return err
		}
		return writeParquet(w, bufio.NewReaderSize(f.part, 1<<20), f.Plan, func(done int64) { progress(float64(done) / float64(max(1, f.size))) })
	})
	if err != nil {
		return err
	}
	return errors.Join(f.rename(temp), os.Remove(f.part.Name()))
}

// rename gives the whole file its name. The plan goes first: were it left behind by a crash, an export that is to follow when this one has
// been moved away would take it for its own, and have the events of this one again. A crash between the two costs the work.
func (f *File) rename(whole string) error {
	if err := os.Remove(f.planPath()); err != nil {
		return err
	}
	return durable.Rename(whole, f.path)
}

// Close leaves the part as it is, for somebody to go on with.
func (f *File) Close() error { return errors.Join(f.part.Sync(), f.part.Close()) }

// Discard removes the part of a file, if there is one.
func Discard(path string) error {
	err := os.Remove(path + ".plan")
	if e := os.Remove(path + ".part"); err == nil || errors.Is(err, fs.ErrNotExist) {
		err = e
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// writeSynced makes a file and brings what write gives it to the disk.
func writeSynced(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err := errors.Join(write(w), w.Flush()); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	return errors.Join(f.Sync(), f.Close())
}
