package replica

import (
	"math"
	"runtime/metrics"
	"sync"
)

// headroomBytes is garbage that may lie about in addition to what Go allows for, which is as much as there is live. With some thousand
// sessions alive a third of the cost of a check, beyond that of HTTP, would otherwise be that of looking at them again and again.
const headroomBytes = 64 << 20

// headroom lets the collector run less often, once for the process: it takes memory for live that nobody touches, so that it is none
// but in the collector's reckoning. Whoever set GOGC or GOMEMLIMIT has decided otherwise.
var headroom = sync.OnceValue(allow)

// allow returns the memory, nil where somebody else decided.
func allow() []byte {
	set := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/gomemlimit:bytes"}}
	metrics.Read(set)
	if set[0].Value.Uint64() != 100 || set[1].Value.Uint64() != math.MaxInt64 {
		return nil
	}
	return make([]byte, headroomBytes)
}
