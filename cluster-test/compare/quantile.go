package compare

import (
	"math"
	"slices"
	"time"
)

// quantile returns the smallest of times that at least the share q of them does not exceed; 0 when there are none.
func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
