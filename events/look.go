package events

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// Facts are what a reader looks for in an event. They refer to its text: they are good for as long as that is not changed.
type Facts struct {
	Type    []byte // without "knell."
	Subject []byte
	Actor   []byte
	Client  []byte // the OAuth client that its data names
	User    ID     // that its data names; zero: none
	Session ID     // that its data names; zero: none
	Except  ID     // the session that goes on, of those that it ends; zero: none
	time    []byte
}

// Look finds the facts of an event by its text, without decoding it: also of a type that this build does not know. It
// overwrites f, allocates nothing as a rule, and returns ErrMalformed for what is not a JSON object with a type of Knell's.
func Look(data []byte, f *Facts) error {
	*f = Facts{}
	c := codecs.Get().(*codec)
	err := c.look(data, f)
	c.space.envelope.text, c.space.data.text = nil, nil
	codecs.Put(c)
	return err
}

func (c *codec) look(data []byte, f *Facts) error {
	s := scanner{text: data}
	envelope, inner := &c.space.envelope, &c.space.data
	end, isData := s.object(s.blank(0), envelope, inner)
	if end < 0 || s.blank(end) != len(data) {
		return fmt.Errorf("%w: %s", ErrMalformed, s.why)
	}
	return c.facts(isData, f)
}

// facts fills f in from an event that was taken apart.
func (c *codec) facts(isData bool, f *Facts) error {
	envelope, inner := &c.space.envelope, &c.space.data
	typ, ok := bytes.CutPrefix(plainText(envelope.find("type")), []byte(typePrefix))
	if !ok || len(typ) == 0 {
		return fmt.Errorf("%w: type: not an event of knell", ErrMalformed)
	}
	f.Type = typ
	f.time = plainText(envelope.find("time"))
	f.Subject = plainText(envelope.find("subject"))
	f.Actor = plainText(envelope.find("actor"))
	if isData {
		f.Session, _ = parseID(plainText(inner.find("session")))
		f.User, _ = parseID(plainText(inner.find("user")))
		f.Client = plainText(inner.find("client"))
		f.Except, _ = parseID(plainText(inner.find("except")))
	}
	return nil
}

// plainText returns what a JSON string says, nil for anything else.
func plainText(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return nil
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	s, _ := unquote(raw)
	return []byte(s)
}

// Time returns the event's time, the zero Time if it has none.
func (f *Facts) Time() time.Time {
	t, _ := time.Parse(time.RFC3339Nano, string(f.time))
	return t
}

// Public reports whether an event of this type may be read by consumers, if it is on a subject of theirs as well (AccessTo).
func (f *Facts) Public() bool {
	family, _, _ := bytes.Cut(f.Type, []byte("."))
	switch string(family) {
	case "secret", "node", "log":
		return false
	}
	return true
}

// PublicTypes returns the types that consumers can read, in the order of the vocabulary.
func PublicTypes() []Type {
	var list []Type
	for _, info := range Types() {
		if f := (Facts{Type: []byte(info.Type)}); f.Public() {
			list = append(list, info.Type)
		}
	}
	return list
}

// Notes are what a reader is told about an event beside its own text: extension attributes of CloudEvents that are in no log.
type Notes struct {
	Seq       uint64 // sequence in the log
	Void      string // why the event changed nothing; "": it took effect
	UserName  string // login name, at the time of reading, of the user that the data names; "": there is none
	ActorName string // that of the actor
}

// sequenceDigits is the length of a sequence as text: of the greatest, so that texts are ordered as the numbers are, as the
// extension "sequence" of CloudEvents wants it.
const sequenceDigits = 20

// AppendNotes appends the beginning of an event's text with notes: behind it belongs the text itself without its first byte.
// Names that are not UTF-8 are left out.
func AppendNotes(buf []byte, n *Notes) []byte {
	buf = append(buf, `{"sequence":"`...)
	var digits [sequenceDigits]byte
	for i, v := len(digits)-1, n.Seq; i >= 0; i, v = i-1, v/10 {
		digits[i] = byte('0' + v%10)
	}
	buf = append(append(buf, digits[:]...), '"')
	for _, note := range [...]struct{ name, text string }{{"void", n.Void}, {"username", n.UserName}, {"actorname", n.ActorName}} {
		if note.text == "" {
			continue
		}
		before := len(buf)
		buf = append(append(append(buf, `,"`...), note.name...), `":`...)
		var ok bool
		if buf, ok = appendString(buf, note.text); !ok {
			buf = buf[:before]
		}
	}
	return append(buf, ',')
}

// OneLine returns the text of an event in a form to which AppendNotes's fits: it begins with a brace and has no line break. That
// is data itself, unless somebody else than Encode has written it.
func OneLine(data []byte) []byte {
	if len(data) > 0 && data[0] == '{' && bytes.IndexByte(data, '\n') < 0 && bytes.IndexByte(data, '\r') < 0 {
		return data
	}
	// Inside of strings there are none: JSON forbids it.
	return []byte(strings.NewReplacer("\n", " ", "\r", " ").Replace(string(bytes.TrimLeft(data, " \t\r\n"))))
}
