package node

import "slices"

// past is what those who read old events ask the state: which of them are void, and where in the log a time begins. It follows
// from the log's prefix like the rest of the state; a replica that starts from a snapshot needs voids from there.
type past struct {
	voids   []uint64     // sequence << voidBits | index in reasons; ascending
	reasons []voidReason // in the order in which the log had them first
	minutes []uint64     // sequence at which log time entered first, and each minute after it; ascending
	first   int64        // minutes[0] stands for this minute since 1970
}

// voidBits is enough for the number of a reason.
const voidBits = 4

// note keeps what is to be known of the message at seq, which the caller has just applied.
func (p *past) note(seq uint64, void voidReason, logTime int64) {
	if void != "" {
		i := slices.Index(p.reasons, void)
		if i < 0 {
			i = len(p.reasons)
			p.reasons = append(p.reasons, void)
		}
		p.voids = append(p.voids, seq<<voidBits|uint64(i))
	}
	minute := logTime / 60e9
	if minute == 0 {
		return
	}
	if p.minutes == nil {
		p.first = minute
	}
	if gap := minute - p.first - int64(len(p.minutes)); gap > maxQuietMinutes {
		// A clock that was far ahead, or a log at rest for years: what came before is found by reading from the beginning.
		p.first, p.minutes = minute, p.minutes[:0]
	}
	for p.first+int64(len(p.minutes)) <= minute {
		p.minutes = append(p.minutes, seq)
	}
}

// forget drops what concerns the log before the sequence first alone.
func (p *past) forget(first uint64) {
	i, _ := slices.BinarySearch(p.voids, first<<voidBits)
	p.voids = slices.Clone(p.voids[i:])
	n := 0
	for n+1 < len(p.minutes) && p.minutes[n+1] <= first {
		n++
	}
	p.minutes = slices.Clone(p.minutes[n:])
	p.first += int64(n)
}

// timeOf returns the minute of log time in which a sequence was written, in Unix seconds; 0: it is not known.
func (p *past) timeOf(seq uint64) int64 {
	i, _ := slices.BinarySearch(p.minutes, seq+1) // several minutes may begin with one sequence
	if i == 0 {
		return 0
	}
	return (p.first + int64(i) - 1) * 60
}

// maxQuietMinutes bounds what one message adds to minutes.
const maxQuietMinutes = 2 * 366 * 24 * 60

// void returns why the event at seq is void, "" if it took effect.
func (p *past) void(seq uint64) voidReason {
	i, _ := slices.BinarySearch(p.voids, seq<<voidBits)
	if i < len(p.voids) && p.voids[i]>>voidBits == seq {
		return p.reasons[p.voids[i]&(1<<voidBits-1)]
	}
	return ""
}

// before returns a sequence up to which log time was a minute or more before t (Unix seconds), 0 if none is known. The time of
// an event is its author's clock, and log time is the newest of all such clocks by their last beat: what comes from t on has been
// written after that sequence, unless its author's clock had jumped ahead and had not beaten yet.
func (p *past) before(t int64) uint64 {
	i := t/60 - 1 - p.first
	if i < 0 || len(p.minutes) == 0 {
		return 0
	}
	return p.minutes[min(i, int64(len(p.minutes))-1)] - 1
}
