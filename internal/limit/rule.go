package limit

import "time"

// Rule says what failures cost.
type Rule struct {
	Free     int           // failures that cost no delay; at least 1
	MaxDelay time.Duration // no delay is longer
	Forget   time.Duration // one failure is forgotten in each such time; above 0
}

// firstDelay is the delay after the first failure that costs one; each further one doubles it.
const firstDelay = time.Second

// Delay returns how long the next guess has to wait after so many failures.
func (r Rule) Delay(failures int) time.Duration {
	d := firstDelay
	for n := failures - r.Free; n > 0 && d < r.MaxDelay; n-- {
		d *= 2
	}
	if failures < r.Free {
		return 0
	}
	return min(d, r.MaxDelay)
}
