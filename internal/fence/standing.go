package fence

// Standing says how it is known that a replica does not answer from before a sequence any more.
type Standing uint8

// The standings. The zero Standing: it may answer so.
const (
	MayAnswer Standing = iota
	Applied            // it has reported the sequence, or a later one
	Ended              // the horizon of every lease that it may have held before the sequence has passed
	Left               // it will never answer again: it has said so, or its successor has
)

// String returns "may-answer", "applied", "lease-ended" or "left".
func (s Standing) String() string {
	return [...]string{"may-answer", "applied", "lease-ended", "left"}[s]
}

// Standing returns how an incarnation that Holders has named stands to the sequence.
func (m *Machine) Standing(inc Incarnation, seq uint64, now Reading) Standing {
	h := m.byInc[inc]
	switch {
	case inc == m.cfg.Self:
		return Applied // a barrier starts when its own replica is done
	case h == nil: // swept: it held up nothing any more
		return Ended
	case h.reported >= seq:
		return Applied
	case h.gone:
		return Left
	case h.through(now.Mono) >= seq:
		return Ended
	}
	return MayAnswer
}
