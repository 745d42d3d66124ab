package node

import (
	"github.com/knell-auth/knell/events"
)

// grant lets somebody outside read the public events over NATS.
type grant struct {
	name    string
	key     string // public NKey
	after   uint64
	seq     uint64
	created int64  // Unix seconds
	flag    uint32 // index of its live flag
}

// foldEventsGranted takes a grant whose name and key no other one has.
func (s *state) foldEventsGranted(seq uint64, e *events.Event, d *events.EventsGranted) voidReason {
	if g := s.access.grants[d.Grant]; g != nil && g.key == d.Key && g.after == d.After {
		return voidNoop
	} else if g != nil || s.grantOf(d.Key) != nil {
		return voidExists
	}
	s.access.grants[d.Grant] = &grant{
		name: d.Grant, key: d.Key, after: d.After, seq: seq, created: e.Time.Unix(), flag: s.newFlag(true),
	}
	s.touch(seq)
	return ""
}

func (s *state) foldGrantRevoked(seq uint64, d *events.GrantRevoked) voidReason {
	g := s.access.grants[d.Grant]
	if g == nil {
		return voidGone
	}
	s.dropFlag(g.flag)
	delete(s.access.grants, g.name)
	s.touch(seq)
	return ""
}

// grantOf returns the grant of a key, nil if it has none. There are few.
func (s *state) grantOf(key string) *grant {
	for _, g := range s.access.grants {
		if g.key == key {
			return g
		}
	}
	return nil
}
