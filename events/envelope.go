package events

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// MaxEvent is the greatest size of an encoded event, in bytes.
const MaxEvent = 64 << 10

// ErrInvalid says that an event cannot be written: it is too large, or has a member that must not be as it is. The event
// is not in the log and will not be.
var ErrInvalid = errors.New("events: invalid event")

const (
	specVersion = "1.0"
	contentType = "application/json"
	source      = "/knell/" // followed by the node's name
)

// codecs holds scratch space that would otherwise be allocated for each event. It is no state: any codec will do.
var codecs = sync.Pool{New: func() any { return new(codec) }}

// ValidNodeName reports whether name can be the name of a node: 1 to 32 of a-z, 0-9 and '-'.
func ValidNodeName(name string) bool { return validNodeName(name) }

func validNodeName[T string | []byte](name T) bool {
	for i := range len(name) {
		if c := name[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(name) >= 1 && len(name) <= 32
}

// Encode appends e to buf as a structured CloudEvent 1.0 (JSON) and returns the longer buffer. It does not change e:
// client text is cut and cleaned on the way. It returns buf as it was and ErrInvalid for an event that has no ID or no
// Data, that a member makes unwritable, or that is longer than MaxEvent.
func Encode(buf []byte, e *Event) ([]byte, error) {
	switch {
	case e.Data == nil:
		return buf, fmt.Errorf("%w: no data", ErrInvalid)
	case e.ID.IsZero():
		return buf, fmt.Errorf("%w: no id", ErrInvalid)
	case !ValidNodeName(e.Node):
		return buf, fmt.Errorf("%w: node name %q", ErrInvalid, e.Node)
	}
	t := e.Time.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return buf, fmt.Errorf("%w: time out of range", ErrInvalid)
	}
	c := codecs.Get().(*codec)
	c.reading, c.err, c.out = false, nil, buf
	c.writeEnvelope(e, t)
	c.key("data")
	c.out = append(c.out, '{')
	c.comma = false
	e.Data.fields(c)
	c.out = append(c.out, '}', '}')
	out, err := c.out, c.err
	c.out = nil
	codecs.Put(c)
	if err == nil && len(out)-len(buf) > MaxEvent {
		err = fmt.Errorf("%w: %d bytes, the limit is %d", ErrInvalid, len(out)-len(buf), MaxEvent)
	}
	if err != nil {
		return buf, err
	}
	return out, nil
}

func (c *codec) writeEnvelope(e *Event, t time.Time) {
	typ := e.Data.Type()
	c.out = append(c.out, `{"specversion":"`+specVersion+`"`...)
	c.comma = true
	c.id("id", &e.ID)
	c.out = append(c.out, `,"source":"`+source...)
	c.out = append(c.out, e.Node...)
	c.out = append(c.out, `","type":"`+typePrefix...)
	c.out = append(c.out, typ...)
	c.out = append(c.out, `","time":"`...)
	c.out = t.AppendFormat(c.out, time.RFC3339Nano)
	c.out = append(c.out, '"')
	c.optText("subject", &e.Subject)
	c.out = append(c.out, `,"datacontenttype":"`+contentType+`","level":`...)
	level, optional := needs(e.Data)
	c.out = strconv.AppendInt(c.out, int64(level), 10)
	c.optBool("optional", &optional)
	c.optID("epoch", &e.Epoch)
	c.optText("actor", &e.Actor)
	c.client("clientaddress", e.Address, maxAddress)
	c.optID("network", &e.Network)
	c.client("useragent", e.UserAgent, maxUserAgent)
	c.client("requestid", e.RequestID, maxRequestID)
	if ValidTraceParent(e.TraceParent) {
		c.optText("traceparent", &e.TraceParent)
	}
	c.client("reason", e.Reason, MaxReason)
}

// client writes client text, if there is any.
func (c *codec) client(name, s string, limit int) {
	if s != "" {
		c.key(name)
		c.writeText(name, clean(s, limit))
	}
}

// Decode reads what Encode has written into e, which is overwritten; nothing in e refers to data afterwards. It returns
// ErrMalformed, wrapped with what is wrong, for anything that is not one CloudEvent of this vocabulary: members of other
// builds are ignored, those of this build must be there and right.
//
// An event of a type or a schema level that this build does not know is ErrNewer; but if it says that it is optional,
// Decode fills in the envelope, leaves e.Data nil and returns nil.
func Decode(data []byte, e *Event) error { return DecodeFacts(data, e, nil) }

// DecodeFacts is Decode and Look in one; f may be nil.
func DecodeFacts(data []byte, e *Event, f *Facts) error {
	*e = Event{}
	if len(data) > MaxEvent {
		return fmt.Errorf("%w: %d bytes", ErrMalformed, len(data))
	}
	c := codecs.Get().(*codec)
	c.reading, c.err = true, nil
	err := c.decode(data, e)
	if err == nil && f != nil {
		*f = Facts{}
		err = c.facts(true, f)
	}
	c.in, c.space.envelope.text, c.space.data.text, c.space.item.text = nil, nil, nil, nil
	codecs.Put(c)
	if err != nil {
		*e = Event{}
	}
	return err
}

func (c *codec) decode(data []byte, e *Event) error {
	s := scanner{text: data}
	end, isData := s.object(s.blank(0), &c.space.envelope, &c.space.data)
	if end < 0 {
		return fmt.Errorf("%w: %s", ErrMalformed, s.why)
	}
	if s.blank(end) != len(data) {
		return fmt.Errorf("%w: text after the event", ErrMalformed)
	}
	c.in = &c.space.envelope
	typ, level, optional := c.readEnvelope(e)
	if c.err != nil {
		return c.err
	}
	p := newPayload(Type(typ))
	if p == nil || level > Level {
		if optional {
			return nil
		}
		return fmt.Errorf("%w: type %.64q at schema level %d, this build knows %d", ErrNewer, typ, level, Level)
	}
	if !isData {
		c.malformed("data", "not an object")
		return c.err
	}
	c.in = &c.space.data
	p.fields(c)
	e.Data = p
	return c.err
}

// readEnvelope reads all but the data, in the order in which it is written.
func (c *codec) readEnvelope(e *Event) (typ []byte, level uint64, optional bool) {
	if string(c.need("specversion")) != `"`+specVersion+`"` {
		c.malformed("specversion", "not "+specVersion)
	}
	c.id("id", &e.ID)
	if e.ID.IsZero() {
		c.malformed("id", "zero")
	}
	node, ok := bytes.CutPrefix(c.need("source"), []byte(`"`+source))
	if node = bytes.TrimSuffix(node, []byte(`"`)); !ok || !validNodeName(node) {
		c.malformed("source", "not a node")
	} else {
		e.Node = string(node)
	}
	typ, ok = bytes.CutPrefix(c.need("type"), []byte(`"`+typePrefix))
	if typ = bytes.TrimSuffix(typ, []byte(`"`)); !ok || len(typ) == 0 {
		c.malformed("type", "not an event of knell")
	}
	c.readTime(&e.Time)
	c.optText("subject", &e.Subject)
	if raw := c.in.find("datacontenttype"); raw != nil && string(raw) != `"`+contentType+`"` {
		c.malformed("datacontenttype", "not "+contentType)
	}
	c.uint64("level", &level)
	if level == 0 {
		c.malformed("level", "zero")
	}
	c.optID("epoch", &e.Epoch)
	c.optText("actor", &e.Actor)
	c.optText("clientaddress", &e.Address)
	c.optID("network", &e.Network)
	c.optText("useragent", &e.UserAgent)
	c.optText("requestid", &e.RequestID)
	c.optText("traceparent", &e.TraceParent)
	if !ValidTraceParent(e.TraceParent) {
		e.TraceParent = ""
	}
	c.optText("reason", &e.Reason)
	// Cleaned when it was written; done again so that nobody who reads depends on who wrote.
	e.Address, e.UserAgent = clean(e.Address, maxAddress), clean(e.UserAgent, maxUserAgent)
	e.RequestID, e.Reason = clean(e.RequestID, maxRequestID), clean(e.Reason, MaxReason)
	c.optBool("optional", &optional)
	return typ, level, optional
}

// readTime reads an RFC 3339 time in UTC.
func (c *codec) readTime(v *time.Time) {
	raw := c.need("time")
	if len(raw) < 3 || raw[0] != '"' || raw[len(raw)-2] != 'Z' {
		c.malformed("time", "not a time in UTC")
		return
	}
	t, err := time.Parse(time.RFC3339Nano, string(raw[1:len(raw)-1]))
	if err != nil {
		c.malformed("time", "not an RFC 3339 time")
		return
	}
	*v = t
}
