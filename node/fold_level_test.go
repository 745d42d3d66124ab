package node

import (
	"fmt"
	"testing"

	"github.com/knell-auth/knell/events"
)

// replica builds the data of a command about replicas. A life has the name of its replica and a number: r1/1.
func (sc *scenario) replica(t *testing.T, cmd string, w []string, arg map[string]string) events.Payload {
	t.Helper()
	level := uint32(sc.num(arg, "level", 1))
	switch cmd {
	case "join":
		return &events.NodeJoined{Incarnation: testID(w[0]), Replaces: named(arg, "replaces"), Level: level}
	case "leave":
		return &events.NodeLeft{Incarnation: testID(w[0])}
	case "beat":
		return &events.NodeBeat{Pings: []events.Ping{{Node: w[0], Incarnation: testID(w[0]), Level: level, LeaseMillis: 5000}}}
	case "raise":
		return &events.LevelRaised{Level: level}
	}
	return sc.webhook(t, cmd, w, arg)
}

// older prints the level of the log and which replicas know less than another one.
func (sc *scenario) older(arg map[string]string) string {
	return fmt.Sprintf("level %d, older %v\n", sc.s.level, sc.s.older(uint32(sc.num(arg, "level", 2))))
}
