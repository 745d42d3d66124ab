package merkle

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Entries is the level of tiles of entries, which are bundles.
const Entries = -1

// Tile names a tile.
type Tile struct {
	Level int    // Entries: a bundle of entries
	N     uint64 // its number in the level
	Width int    // Width, or less for a partial tile
}

// Errors of texts. Those of checkpoints say apart who signed nothing, and who signed something else.
var (
	ErrText      = errors.New("malformed")
	ErrSignature = errors.New("not signed by this key")
	ErrOrigin    = errors.New("of another log")
)

// ParseTile returns the tile with a path as tlog-tiles has it, behind "tile/": "0/x001/234", "entries/000.p/5". ErrText: there is
// no such path; each tile has one.
func ParseTile(path string) (Tile, error) {
	level, rest, _ := strings.Cut(path, "/")
	switch {
	case level == "entries":
		level = "data"
	case level == "data" || len(level) > 2 || level > "63" && len(level) == 2:
		return Tile{}, fmt.Errorf("%w: path of a tile", ErrText)
	}
	t, err := tlog.ParseTilePath("tile/8/" + level + "/" + rest)
	if err != nil || t.N < 0 {
		return Tile{}, fmt.Errorf("%w: path of a tile", ErrText)
	}
	return Tile{t.L, uint64(t.N), t.W}, nil
}

// Path returns the path of t, behind "tile/".
func (t Tile) Path() string {
	p := strings.TrimPrefix(tlog.Tile{H: Height, L: t.Level, N: int64(t.N), W: t.Width}.Path(), "tile/8/")
	if rest, ok := strings.CutPrefix(p, "data/"); ok {
		return "entries/" + rest
	}
	return p
}

// AppendEntry appends an entry of a bundle, which has at most 65,535 bytes.
func AppendEntry(b, entry []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(entry))), entry...)
}

// Checkpoint is a tree head (C2SP tlog-checkpoint).
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   Hash
}

// Sign returns the checkpoint as a signed note. It fails only for an origin that none can have.
func (c Checkpoint) Sign(key note.Signer) ([]byte, error) {
	return note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)}, key)
}

// OpenCheckpoint returns the checkpoint in a note that key has signed. The key's name is the origin. The error is one of those
// above. Lines behind the third one are ignored.
func OpenCheckpoint(msg []byte, key note.Verifier) (c Checkpoint, err error) {
	text, err := OpenNote(msg, key)
	if err != nil {
		// Of what was signed by somebody else one can still say that it is about another log; it is not believed for that.
		if origin, _, ok := bytes.Cut(msg, []byte("\n")); ok && errors.Is(err, ErrSignature) && string(origin) != key.Name() {
			err = fmt.Errorf("checkpoint: %w: its origin is %.100q, not %s", ErrOrigin, origin, key.Name())
		}
		return c, err
	}
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 {
		return c, fmt.Errorf("checkpoint: %w", ErrText)
	}
	if c.Origin = lines[0]; c.Origin != key.Name() {
		return c, fmt.Errorf("checkpoint: %w: its origin is %.100q, not %s", ErrOrigin, c.Origin, key.Name())
	}
	if c.Size, err = parseNumber(lines[1]); err != nil {
		return c, fmt.Errorf("checkpoint: %w: size", ErrText)
	}
	if c.Root, err = parseHash(lines[2]); err != nil {
		return c, fmt.Errorf("checkpoint: %w: root hash", ErrText)
	}
	return c, nil
}

// OpenNote returns the text of a note that key has signed.
func OpenNote(msg []byte, key note.Verifier) (string, error) {
	n, err := note.Open(msg, note.VerifierList(key))
	var unverified *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified), errors.As(err, &invalid):
		return "", ErrSignature
	case err != nil:
		return "", fmt.Errorf("%w: no signed note", ErrText)
	}
	return n.Text, nil
}

// parseNumber reads a decimal number without leading zeros.
func parseNumber(s string) (uint64, error) {
	v, err := strconv.ParseUint(s, 10, 62)
	if err != nil || strconv.FormatUint(v, 10) != s {
		return 0, ErrText
	}
	return v, nil
}

func parseHash(s string) (h Hash, err error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(h) || len(s) != base64.StdEncoding.EncodedLen(len(h)) {
		return h, ErrText
	}
	copy(h[:], b)
	return h, nil
}

// Proof says where in a log an entry is (C2SP tlog-proof).
type Proof struct {
	Extra      []byte // not proven by itself; here: the entry; nil: none
	Index      uint64
	Path       []Hash
	Checkpoint []byte // a signed note
}

const proofHead = "c2sp.org/tlog-proof@v1\n"

// Text returns the proof as text.
func (p *Proof) Text() []byte {
	b := []byte(proofHead)
	if p.Extra != nil {
		b = append(base64.StdEncoding.AppendEncode(append(b, "extra "...), p.Extra), '\n')
	}
	b = append(strconv.AppendUint(append(b, "index "...), p.Index, 10), '\n')
	return append(appendPath(b, p.Path), p.Checkpoint...)
}

// ParseProof reads what Text has written. The error is ErrText.
func ParseProof(text []byte) (p Proof, err error) {
	rest, ok := bytes.CutPrefix(text, []byte(proofHead))
	if !ok {
		return p, fmt.Errorf("%w: it does not begin as a c2sp.org/tlog-proof@v1 does", ErrText)
	}
	line, rest, _ := bytes.Cut(rest, []byte("\n"))
	if extra, ok := bytes.CutPrefix(line, []byte("extra ")); ok {
		if p.Extra, err = base64.StdEncoding.Strict().DecodeString(string(extra)); err != nil {
			return p, fmt.Errorf("%w: extra", ErrText)
		}
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	p.Index, p.Path, p.Checkpoint, err = parsePath("index ", line, rest)
	return p, err
}

// Consistency says that a log of which one knows the size Old has only grown: what a witness is sent (C2SP tlog-witness).
type Consistency struct {
	Old        uint64
	Path       []Hash
	Checkpoint []byte
}

// Text returns the proof as text.
func (c *Consistency) Text() []byte {
	b := append(strconv.AppendUint([]byte("old "), c.Old, 10), '\n')
	return append(appendPath(b, c.Path), c.Checkpoint...)
}

// ParseConsistency reads what Text has written. The error is ErrText.
func ParseConsistency(text []byte) (c Consistency, err error) {
	line, rest, _ := bytes.Cut(text, []byte("\n"))
	c.Old, c.Path, c.Checkpoint, err = parsePath("old ", line, rest)
	return c, err
}

// appendPath appends hashes, a line each, and the empty line that ends them.
func appendPath(b []byte, path []Hash) []byte {
	for _, h := range path {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return append(b, '\n')
}

// maxPath is the greatest number of hashes of a proof.
const maxPath = 128

// parsePath reads a line with a number, hashes, an empty line and a checkpoint.
func parsePath(name string, line, rest []byte) (number uint64, path []Hash, checkpoint []byte, err error) {
	text, ok := strings.CutPrefix(string(line), name)
	if number, err = parseNumber(text); !ok || err != nil {
		return 0, nil, nil, fmt.Errorf("%w: want a line %q with a number", ErrText, name)
	}
	for {
		line, after, ok := bytes.Cut(rest, []byte("\n"))
		if rest = after; !ok || len(path) > maxPath {
			return 0, nil, nil, fmt.Errorf("%w: hashes, an empty line and a checkpoint are missing", ErrText)
		}
		if len(line) == 0 {
			return number, path, rest, nil
		}
		h, err := parseHash(string(line))
		if err != nil {
			return 0, nil, nil, fmt.Errorf("%w: hash %d", ErrText, len(path)+1)
		}
		path = append(path, h)
	}
}

// Key signs checkpoints and receipts. It implements note.Signer.
type Key struct {
	private  ed25519.PrivateKey
	verifier note.Verifier
	text     string
}

// NewKey returns the key of this name (C2SP signed-note) with an Ed25519 seed.
func NewKey(name string, seed []byte) (*Key, error) {
	private := ed25519.NewKeyFromSeed(seed)
	text, err := note.NewEd25519VerifierKey(name, private.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		return nil, err
	}
	return &Key{private, v, text}, nil
}

// Name implements note.Signer.
func (k *Key) Name() string { return k.verifier.Name() }

// KeyHash implements note.Signer.
func (k *Key) KeyHash() uint32 { return k.verifier.KeyHash() }

// Sign implements note.Signer.
func (k *Key) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(k.private, msg), nil }

// Verifier returns the text by which the key is known: name, hash and public key.
func (k *Key) Verifier() string { return k.text }
