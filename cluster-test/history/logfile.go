package history

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// LogFile returns the path of the file beside a history that holds what a replica answered on GET /log.
func LogFile(dir string, replica int) string {
	return filepath.Join(dir, fmt.Sprintf("events-r%d.ndjson", replica))
}

// TrailFile returns the path of the file beside a history that holds what a reader of events has got of them while the log had them: the
// lines of GET /events.
func TrailFile(dir string) string { return filepath.Join(dir, "events-trail.ndjson") }

// ReadLogs reads the logs that lie in dir; none when there is none.
func ReadLogs(dir string) ([]*Log, error) {
	var logs []*Log
	for i := 0; ; i++ {
		f, err := os.Open(LogFile(dir, i))
		if os.IsNotExist(err) {
			return logs, addTrail(dir, logs)
		}
		if err != nil {
			return nil, err
		}
		l, err := ReadLog(f, int8(i))
		f.Close()
		if err != nil {
			return nil, err
		}
		logs = append(logs, l)
	}
}

// addTrail gives each log that was trimmed what came before.
func addTrail(dir string, logs []*Log) error {
	f, err := os.Open(TrailFile(dir))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	events, err := ReadPage(f)
	if err != nil {
		return err
	}
	for _, l := range logs {
		n, _ := slices.BinarySearchFunc(events, l.After+1, func(e Event, seq uint64) int { return cmp.Compare(e.Seq, seq) })
		l.Before = events[:n:n]
	}
	return nil
}
