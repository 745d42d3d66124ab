package load

import "math"

// confidence of the bounds that are reported.
const confidence = 0.95

// UpperBound returns the one-sided upper confidence bound (Clopper and Pearson 1934) on a rate of which hits were seen in
// trials independent ones: the greatest rate at which so few hits are not yet rarer than 1 - confidence. Without hits it
// is 1 - (1-confidence)^(1/trials), about 3/trials at 95 % (the rule of three). Without trials it is 1.
func UpperBound(hits, trials int64, confidence float64) float64 {
	if trials <= 0 || hits >= trials {
		return 1
	}
	alpha := 1 - confidence
	if hits <= 0 {
		return -math.Expm1(math.Log(alpha) / float64(trials))
	}
	// The probability of at most hits falls as the rate grows.
	low, high := float64(hits)/float64(trials), 1.0
	for range 100 {
		if rate := (low + high) / 2; atMost(hits, trials, rate) > alpha {
			low = rate
		} else {
			high = rate
		}
	}
	return high
}

// atMost returns the probability of at most hits in trials of this rate (the binomial distribution).
func atMost(hits, trials int64, rate float64) float64 {
	n := float64(trials)
	all, _ := math.Lgamma(n + 1)
	sum := 0.0
	for k := int64(0); k <= hits; k++ {
		x := float64(k)
		in, _ := math.Lgamma(x + 1)
		out, _ := math.Lgamma(n - x + 1)
		sum += math.Exp(all - in - out + x*math.Log(rate) + (n-x)*math.Log1p(-rate))
	}
	return min(sum, 1)
}
