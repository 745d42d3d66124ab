// Package backup owns the file format of backups: what a log is made again from. It does not know what messages, snapshots and tiles
// mean.
//
// A backup begins with a line that names its format and a line of JSON that says what it is, both to be read by people as well. Behind
// them is a gzip stream of records, and at the end a line with the SHA-256 of all that comes before, without which it is no backup.
package backup

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// Format is the format that this version writes, and the only one that it reads.
const Format = 1

const (
	kind     = "knell backup " // begins the first line; behind it is the format
	endKind  = "knell end "    // begins the last line; behind it is the hash
	endSize  = len(endKind) + 2*sha256.Size + 1
	maxHead  = 64 << 10
	maxBytes = 1 << 30 // of a part of a record: a snapshot is the largest
)

// ErrDamaged says that a file is no backup as one was written: foreign, cut off or changed. The error says which.
var ErrDamaged = errors.New("not a good backup")

// Header says what a backup is. Sequences are those of the log.
type Header struct {
	Created time.Time `json:"created"`
	Node    string    `json:"node"`     // that wrote it
	Version string    `json:"version"`  // of its program
	Epoch   string    `json:"epoch"`    // of the log, at its end
	First   uint64    `json:"first"`    // of the messages that are in it
	Last    uint64    `json:"last"`     // all up to here is in it
	LogTime time.Time `json:"log_time"` // of the log, at its end
	Level   uint32    `json:"level"`    // schema level of the log
	Digest  string    `json:"digest"`   // of the state at its end
	Leaves  uint64    `json:"leaves"`   // of the log's Merkle tree
	Root    string    `json:"root"`     // of that tree
}

// Kind is what a record holds.
type Kind byte

// Kinds of records, in the order in which they come.
const (
	Snapshot Kind = 's' // a state; Name is its description
	Message  Kind = 'm' // of the log; Name is its subject
	Tile     Kind = 't' // of the log's Merkle tree, under its name
	end      Kind = 'e'
)

// Record is one thing in a backup. Messages follow each other without a gap, from Header.First on.
type Record struct {
	Kind Kind
	Name string
	Data []byte
}

// Writer writes a backup. What it wrote before Close has returned nil is none.
type Writer struct {
	out  io.Writer // the file and its hash
	sum  hash.Hash
	zip  *gzip.Writer
	to   io.Writer
	head []byte // scratch
}

// NewWriter begins a backup.
func NewWriter(to io.Writer, h Header) (*Writer, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	w := &Writer{sum: sha256.New(), to: to}
	w.out = io.MultiWriter(to, w.sum)
	if _, err := fmt.Fprintf(w.out, "%s%d\n%s\n", kind, Format, text); err != nil {
		return nil, err
	}
	w.zip, err = gzip.NewWriterLevel(w.out, gzip.BestSpeed)
	return w, err
}

// Add writes a record.
func (w *Writer) Add(r Record) error {
	w.head = append(w.head[:0], byte(r.Kind))
	w.head = binary.AppendUvarint(w.head, uint64(len(r.Name)))
	w.head = append(w.head, r.Name...)
	w.head = binary.AppendUvarint(w.head, uint64(len(r.Data)))
	if _, err := w.zip.Write(w.head); err != nil {
		return err
	}
	_, err := w.zip.Write(r.Data)
	return err
}

// Close ends the backup. It does not close what it was written to.
func (w *Writer) Close() error {
	if err := w.Add(Record{Kind: end}); err != nil {
		return err
	}
	if err := w.zip.Close(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w.to, "%s%x\n", endKind, w.sum.Sum(nil))
	return err
}

// Check reads a whole file of this size and returns nil if it is a backup as it was written. The error wraps ErrDamaged, unless it is
// one of reading.
func Check(r io.ReaderAt, size int64) error {
	first := make([]byte, min(size, maxHead))
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), first); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if _, err := readHead(bufio.NewReaderSize(bytes.NewReader(first), maxHead)); err != nil {
		return err
	}
	last := make([]byte, endSize)
	if size < int64(endSize) {
		return fmt.Errorf("%w: it is cut off", ErrDamaged)
	}
	if _, err := r.ReadAt(last, size-int64(endSize)); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if !bytes.HasPrefix(last, []byte(endKind)) || last[endSize-1] != '\n' {
		return fmt.Errorf("%w: it is cut off, or something is appended to it: it does not end as a backup does", ErrDamaged)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(r, 0, size-int64(endSize))); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != string(last[len(endKind):endSize-1]) {
		return fmt.Errorf("%w: it was changed or damaged: its SHA-256 is not the one at its end", ErrDamaged)
	}
	return nil
}

// Reader reads the records of a backup. Whether that is as it was written, Check says.
type Reader struct {
	header Header
	in     *bufio.Reader
	kind   Kind // of the last record
}

// NewReader begins to read a backup.
func NewReader(r io.Reader) (*Reader, error) {
	in := bufio.NewReaderSize(r, maxHead)
	h, err := readHead(in)
	if err != nil {
		return nil, err
	}
	zip, err := gzip.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	zip.Multistream(false)
	return &Reader{header: h, in: bufio.NewReaderSize(zip, 256<<10)}, nil
}

// readHead reads the lines before the records.
func readHead(in *bufio.Reader) (h Header, err error) {
	line, err := in.ReadString('\n')
	var format int
	switch n, _ := fmt.Sscanf(line, kind+"%d\n", &format); {
	case n != 1 || err != nil:
		return h, fmt.Errorf("%w: it is no backup of Knell: it does not begin as one does", ErrDamaged)
	case format != Format:
		return h, fmt.Errorf("%w: it has format %d, and this version of knell reads %d", ErrDamaged, format, Format)
	}
	line, err = in.ReadString('\n')
	if err == nil {
		err = json.Unmarshal([]byte(line), &h)
	}
	if err != nil {
		return h, fmt.Errorf("%w: its description cannot be read", ErrDamaged)
	}
	if h.First == 0 || h.Last < h.First-1 {
		return h, fmt.Errorf("%w: its description says nothing of messages", ErrDamaged)
	}
	return h, nil
}

// Header returns what the backup says it is.
func (r *Reader) Header() Header { return r.header }

// Next returns the next record, which is the caller's to keep, or io.EOF when the backup has ended as it should. Other errors wrap
// ErrDamaged.
func (r *Reader) Next() (Record, error) {
	rec, err := r.next()
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it is cut off")
		}
		return Record{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if rec.Kind == end {
		return Record{}, io.EOF
	}
	return rec, nil
}

func (r *Reader) next() (rec Record, err error) {
	b, err := r.in.ReadByte()
	if err != nil {
		return rec, err
	}
	rec.Kind = Kind(b)
	switch rec.Kind {
	case Snapshot, Message, Tile, end:
	default:
		return rec, errors.New("an unknown record")
	}
	if order(rec.Kind) < order(r.kind) {
		return rec, errors.New("records in another order")
	}
	r.kind = rec.Kind
	name, err := r.part()
	if err != nil {
		return rec, err
	}
	rec.Name = string(name)
	rec.Data, err = r.part()
	return rec, err
}

// order returns the place of a kind among the others.
func order(k Kind) int {
	return bytes.IndexByte([]byte{byte(Snapshot), byte(Message), byte(Tile), byte(end)}, byte(k))
}

// part reads bytes behind their number.
func (r *Reader) part() ([]byte, error) {
	n, err := binary.ReadUvarint(r.in)
	if err != nil {
		return nil, err
	}
	if n > maxBytes {
		return nil, errors.New("a part that is too long")
	}
	if n <= 64<<10 {
		b := make([]byte, n)
		_, err = io.ReadFull(r.in, b)
		return b, err
	}
	var b bytes.Buffer // however long it says to be
	if _, err := io.CopyN(&b, r.in, int64(n)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
