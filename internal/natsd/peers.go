package natsd

import (
	"os"
	"path/filepath"
)

// Peers returns to how many other servers of its cluster this one is connected, and how many there are; both are 0 for one
// that is in no cluster. It may be called at any time.
func (s *Server) Peers() (connected, others int) {
	return min(s.srv.NumRemotes(), s.others), s.others
}

// others returns the number of the other servers of the cluster.
func (c *Config) others() int {
	if c.Cluster == nil {
		return 0
	}
	return len(c.Cluster.Routes) - 1
}

// HasLog reports whether dir holds a copy of the log, whole or not.
func HasLog(dir string) bool {
	_, err := os.Stat(filepath.Join(storeDir(dir), "jetstream", Account, "streams", StreamName))
	return err == nil
}
