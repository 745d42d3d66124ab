package natsd

import (
	"maps"
	"regexp"
	"sync"
	"time"
)

// repeatEvery is how often the same line is written at most.
const repeatEvery = time.Minute

// mostRepeats bounds how many lines are remembered.
const mostRepeats = 256

// repeats remembers which lines were written. The zero value remembers none. It is safe for concurrent use.
type repeats struct {
	mu sync.Mutex
	by map[string]repeat
}

// repeat is a line that was written.
type repeat struct {
	at     time.Time
	unsaid int // how often it came since
}

// due reports whether a line is to be written now, and how often it came since it was last, this time included. What comes in the minute
// after a line is counted with the next one that is written; where there is none, the trouble has ended.
func (r *repeats) due(line string, now time.Time) (times int, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, known := r.by[line]
	if known && now.Sub(last.at) < repeatEvery {
		last.unsaid++
		r.by[line] = last
		return 0, false
	}
	if !known && len(r.by) >= mostRepeats {
		maps.DeleteFunc(r.by, func(_ string, e repeat) bool { return now.Sub(e.at) >= repeatEvery })
		if len(r.by) >= mostRepeats {
			clear(r.by)
		}
	}
	if r.by == nil {
		r.by = map[string]repeat{}
	}
	r.by[line] = repeat{at: now}
	return last.unsaid + 1, true
}

// What differs between lines that say the same: the port and the number of a connection, the own port, the attempt.
var (
	connection = regexp.MustCompile(`(: |^)(\S+):\d+ - \w+:\d+ - `)
	ownPort    = regexp.MustCompile(`:\d+->`)
	attempt    = regexp.MustCompile(`attempt \d+`)
)

// alike returns the line without what differs between lines that say the same.
func alike(line string) string {
	line = connection.ReplaceAllString(line, "$1$2 - ")
	line = ownPort.ReplaceAllLiteralString(line, "->")
	return attempt.ReplaceAllLiteralString(line, "attempt")
}
