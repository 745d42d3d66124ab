package events

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// codec writes or reads the members of one object. The fields methods of the payloads drive it; after the first error the
// rest of the calls change nothing that counts.
type codec struct {
	reading bool
	err     error
	in      *object // when reading
	out     []byte  // when writing
	comma   bool    // when writing: there is a member already

	space scratch
}

// scratch is where an event is taken apart; a codec is kept for its sake.
type scratch struct {
	envelope, data, item object
}

// malformed notes that a member is not what it must be.
func (c *codec) malformed(name, why string) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s: %s", ErrMalformed, name, why)
	}
}

// key writes the name of a member.
func (c *codec) key(name string) {
	n := len(c.out)
	c.out = slices.Grow(c.out, len(name)+4)[:n+len(name)+4]
	b := c.out[n:]
	if !c.comma {
		c.comma = true
		b = b[:len(b)-1]
		c.out = c.out[:len(c.out)-1]
	} else {
		b[0] = ','
		b = b[1:]
	}
	b[0] = '"'
	copy(b[1:], name)
	b[len(b)-2], b[len(b)-1] = '"', ':'
}

// need returns the value of a member that must be there, or nil and notes the error.
func (c *codec) need(name string) []byte {
	v := c.in.find(name)
	if v == nil {
		c.malformed(name, "missing")
	}
	return v
}

func (c *codec) text(name string, v *string) {
	if c.reading {
		if raw := c.need(name); raw != nil {
			*v = c.readText(name, raw)
		}
		return
	}
	c.key(name)
	c.writeText(name, *v)
}

func (c *codec) optText(name string, v *string) {
	if c.reading {
		if raw := c.in.find(name); raw != nil {
			*v = c.readText(name, raw)
		}
	} else if *v != "" {
		c.text(name, v)
	}
}

func (c *codec) readText(name string, raw []byte) string {
	if raw[0] != '"' {
		c.malformed(name, "not a string")
		return ""
	}
	s, ok := unquote(raw)
	if !ok {
		c.malformed(name, "half a surrogate pair")
	}
	return s
}

func (c *codec) writeText(name, s string) {
	var ok bool
	if c.out, ok = appendString(c.out, s); !ok && c.err == nil {
		c.err = fmt.Errorf("%w: %s is not UTF-8", ErrInvalid, name)
	}
}

func (c *codec) id(name string, v *ID) {
	if c.reading {
		if raw := c.need(name); raw != nil {
			c.readID(name, raw, v)
		}
		return
	}
	c.key(name)
	text := v.text()
	c.out = append(append(append(c.out, '"'), text[:idText]...), '"')
}

func (c *codec) optID(name string, v *ID) {
	if c.reading {
		if raw := c.in.find(name); raw != nil {
			c.readID(name, raw, v)
		}
	} else if !v.IsZero() {
		c.id(name, v)
	}
}

func (c *codec) readID(name string, raw []byte, v *ID) {
	if raw[0] == '"' {
		id, err := parseID(raw[1 : len(raw)-1])
		if err == nil {
			*v = id
			return
		}
	}
	c.malformed(name, "not an id")
}

func (c *codec) uint64(name string, v *uint64) {
	if c.reading {
		if raw := c.need(name); raw != nil {
			*v = c.readUint(name, raw, math.MaxUint64)
		}
		return
	}
	c.key(name)
	c.out = strconv.AppendUint(c.out, *v, 10)
}

func (c *codec) optUint64(name string, v *uint64) {
	if c.reading {
		if raw := c.in.find(name); raw != nil {
			*v = c.readUint(name, raw, math.MaxUint64)
		}
	} else if *v != 0 {
		c.uint64(name, v)
	}
}

func (c *codec) uint32(name string, v *uint32) {
	if c.reading {
		if raw := c.need(name); raw != nil {
			*v = uint32(c.readUint(name, raw, math.MaxUint32))
		}
		return
	}
	c.key(name)
	c.out = strconv.AppendUint(c.out, uint64(*v), 10)
}

func (c *codec) optUint32(name string, v *uint32) {
	if c.reading && c.in.find(name) != nil || !c.reading && *v != 0 {
		c.uint32(name, v)
	}
}

func (c *codec) int64(name string, v *int64) {
	if !c.reading {
		c.key(name)
		c.out = strconv.AppendInt(c.out, *v, 10)
		return
	}
	raw := c.need(name)
	if raw == nil {
		return
	}
	if raw[0] != '-' {
		*v = int64(c.readUint(name, raw, math.MaxInt64))
		return
	}
	// The magnitude of the least int64 is one more than that of the greatest; the conversions wrap around to it.
	*v = -int64(c.readUint(name, raw[1:], 1<<63))
}

func (c *codec) optInt64(name string, v *int64) {
	if c.reading && c.in.find(name) != nil || !c.reading && *v != 0 {
		c.int64(name, v)
	}
}

// readUint reads an integer that is written with digits only.
func (c *codec) readUint(name string, raw []byte, limit uint64) uint64 {
	var n uint64
	for i, d := range raw {
		if d -= '0'; d > 9 {
			c.malformed(name, "not an integer that fits")
			return 0
		}
		// 19 digits always fit.
		if i >= 19 && n > (math.MaxUint64-uint64(d))/10 {
			c.malformed(name, "number out of range")
			return 0
		}
		n = n*10 + uint64(d)
	}
	if n > limit {
		c.malformed(name, "number out of range")
		return 0
	}
	return n
}

func (c *codec) optBool(name string, v *bool) {
	if !c.reading {
		if *v {
			c.key(name)
			c.out = append(c.out, "true"...)
		}
		return
	}
	switch raw := c.in.find(name); string(raw) {
	case "true":
		*v = true
	case "", "false":
	default:
		c.malformed(name, "not a boolean")
	}
}

func (c *codec) bytes(name string, v *[]byte) {
	if c.reading {
		if raw := c.need(name); raw != nil {
			*v = c.readBytes(name, raw)
		}
		return
	}
	c.key(name)
	c.out = append(c.out, '"')
	c.out = base64.StdEncoding.AppendEncode(c.out, *v)
	c.out = append(c.out, '"')
}

func (c *codec) optBytes(name string, v *[]byte) {
	if c.reading {
		if raw := c.in.find(name); raw != nil {
			*v = c.readBytes(name, raw)
		}
	} else if len(*v) > 0 {
		c.bytes(name, v)
	}
}

// readBytes reads base64 (RFC 4648 section 4, as encoding/json writes it). No bytes are nil.
func (c *codec) readBytes(name string, raw []byte) []byte {
	if raw[0] != '"' {
		c.malformed(name, "not a string")
		return nil
	}
	b, err := base64.StdEncoding.Strict().AppendDecode(nil, raw[1:len(raw)-1])
	if err != nil {
		c.malformed(name, "not base64")
	}
	if len(b) == 0 {
		return nil
	}
	return b
}

// list writes or reads an array of strings. An empty one is nil.
func (c *codec) list(name string, v *[]string) {
	if !c.reading {
		c.key(name)
		c.out = append(c.out, '[')
		for i, s := range *v {
			if i > 0 {
				c.out = append(c.out, ',')
			}
			c.writeText(name, s)
		}
		c.out = append(c.out, ']')
		return
	}
	*v = nil
	c.items(name, func(n int, raw []byte) {
		if *v == nil {
			*v = make([]string, 0, n)
		}
		*v = append(*v, c.readText(name, raw))
	})
}

// optList is list, with an empty one left out.
func (c *codec) optList(name string, v *[]string) {
	if c.reading && c.in.find(name) != nil || !c.reading && len(*v) > 0 {
		c.list(name, v)
	}
}

// pings writes or reads the list of a beat.
func (c *codec) pings(name string, v *[]Ping) { objects(c, name, v, (*Ping).fields) }

// hooks writes or reads the list of a WebhookProgress.
func (c *codec) hooks(name string, v *[]HookProgress) { objects(c, name, v, (*HookProgress).fields) }

// objects writes or reads an array of objects.
func objects[T any](c *codec, name string, v *[]T, fields func(*T, *codec)) {
	if !c.reading {
		c.key(name)
		c.out = append(c.out, '[')
		for i := range *v {
			if i > 0 {
				c.out = append(c.out, ',')
			}
			c.out = append(c.out, '{')
			c.comma = false
			fields(&(*v)[i], c)
			c.out = append(c.out, '}')
		}
		c.out = append(c.out, ']')
		c.comma = true
		return
	}
	*v = nil
	outer := c.in
	c.items(name, func(n int, raw []byte) {
		if *v == nil {
			*v = make([]T, 0, n)
		}
		s := scanner{text: raw}
		if end, _ := s.object(0, &c.space.item, nil); end < 0 {
			c.malformed(name, s.why)
			return
		}
		var empty T
		*v = append(*v, empty)
		c.in = &c.space.item
		fields(&(*v)[len(*v)-1], c)
		c.in = outer
	})
}

// items calls each with every value of an array, and with a guess of how many are to come, which is no more than the text
// has room for.
func (c *codec) items(name string, each func(n int, raw []byte)) {
	raw := c.need(name)
	if raw == nil {
		return
	}
	if raw[0] != '[' {
		c.malformed(name, "not an array")
		return
	}
	s := scanner{text: raw} // the text is known to be valid: no call fails
	for i := s.blank(1); s.at(i) != ']' && c.err == nil; {
		end := s.value(i, 0)
		each(1+(len(raw)-i)/(end-i+1), raw[i:end])
		if i = s.blank(end); s.at(i) == ',' {
			i = s.blank(i + 1)
		}
	}
}
