package events

// The beginning of the log: which snapshots of the state stand for what is removed there.
const (
	TypeNodeSnapshot Type = "node.snapshot"
	TypeNodeTrimmed  Type = "node.trimmed"
)

// NodeSnapshot says that a replica has made the state at a sequence by itself, of the log and of an older snapshot, and that the
// snapshot that is stored for it has this hash. One with another hash means that the state of one of the two is wrong.
type NodeSnapshot struct {
	Snapshot    uint64 // sequence up to which the log is in the snapshot
	Hash        []byte // SHA-256 of the snapshot
	Format      uint32 // of the snapshot
	Incarnation ID
}

// NodeTrimmed says that the log begins at First from here on: what comes before may be removed. It is void unless more than half of
// the replicas that are there have said the same of a snapshot of all that comes before First.
type NodeTrimmed struct {
	First uint64 // the first sequence that stays
}

// Type implements Payload.
func (*NodeSnapshot) Type() Type { return TypeNodeSnapshot }
func (*NodeTrimmed) Type() Type  { return TypeNodeTrimmed }

func (p *NodeSnapshot) fields(c *codec) {
	c.uint64("snapshot", &p.Snapshot)
	c.bytes("hash", &p.Hash)
	c.uint32("format", &p.Format)
	c.id("incarnation", &p.Incarnation)
}

func (p *NodeTrimmed) fields(c *codec) { c.uint64("first", &p.First) }

func newRetentionPayload(t Type) Payload {
	switch t {
	case TypeNodeSnapshot:
		return new(NodeSnapshot)
	case TypeNodeTrimmed:
		return new(NodeTrimmed)
	}
	return newRestoredPayload(t)
}

func retentionExamples() []Payload {
	return []Payload{
		&NodeSnapshot{
			Snapshot: 100000, Hash: []byte("hash............................"), Format: 1, Incarnation: DeriveID("knell/example", []byte("life 2")),
		},
		&NodeTrimmed{First: 50001},
	}
}
