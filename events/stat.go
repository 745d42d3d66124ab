package events

import "time"

// Stat describes a log as its leader sees it.
type Stat struct {
	First, Last uint64 // sequences; Last is 0 in an empty log
	Messages    uint64
	Bytes       int64
	MaxBytes    int64
	Created     time.Time
	Leader      string // name of the log server that leads
	Replicas    int    // copies
}
