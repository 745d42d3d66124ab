package history

import (
	"fmt"
	"os"
	"path/filepath"
)

// LogFile returns the path of the file beside a history that holds what a replica answered on GET /log.
func LogFile(dir string, replica int) string {
	return filepath.Join(dir, fmt.Sprintf("events-r%d.ndjson", replica))
}

// ReadLogs reads the logs that lie in dir; none when there is none.
func ReadLogs(dir string) ([]*Log, error) {
	var logs []*Log
	for i := 0; ; i++ {
		f, err := os.Open(LogFile(dir, i))
		if os.IsNotExist(err) {
			return logs, nil
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
