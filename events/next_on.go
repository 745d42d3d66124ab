//go:build knell_next

package events

// Builds with this tag stand for the next version in tests of upgrades: they know one schema level more, and two events of it.

// Level is the newest schema level that this build knows.
const Level = 3

// Event types of the next version.
const (
	TypeNext     Type = "node.next"
	TypeNextHint Type = "node.next_hint"
)

// Next is an event that no replica of an older version may overlook.
type Next struct{ Text string }

// NextHint is one that it may.
type NextHint struct{ Text string }

// Type implements Payload.
func (*Next) Type() Type     { return TypeNext }
func (*NextHint) Type() Type { return TypeNextHint }

func (p *Next) fields(c *codec)     { c.text("text", &p.Text) }
func (p *NextHint) fields(c *codec) { c.text("text", &p.Text) }

// needs returns the schema level that a reader of p must know, and whether one that does not may pass over it.
func needs(p Payload) (level uint32, optional bool) {
	switch p.(type) {
	case *Next:
		return 3, false
	case *NextHint:
		return 3, true
	}
	return levelOf(p), false
}

// newNextPayload returns an empty payload for a type of the next version, nil for others.
func newNextPayload(t Type) Payload {
	switch t {
	case TypeNext:
		return new(Next)
	case TypeNextHint:
		return new(NextHint)
	}
	return nil
}
