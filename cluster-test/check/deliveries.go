package check

import "fmt"

// Delivery is an event as a webhook's target, or a reader of GET /events, got it.
type Delivery struct {
	Seq      uint64
	ID, Void string
}

// Deliveries returns what is wrong with what a target got, in the order in which it got it, against what readers get: a gap, an event
// that came for the first time before one that precedes it, one that came again with another id, or one that readers do not get. What
// lies behind the last of truth is not judged.
func Deliveries(truth, got []Delivery) (wrong []string, again int) {
	place := map[uint64]int{}
	for i, d := range truth {
		place[d.Seq] = i
	}
	next := 0
	for _, d := range got {
		i, known := place[d.Seq]
		switch {
		case len(truth) > 0 && d.Seq > truth[len(truth)-1].Seq:
		case !known:
			wrong = append(wrong, fmt.Sprintf("event %d is none of the log's", d.Seq))
		case d != truth[i]:
			wrong = append(wrong, fmt.Sprintf("event %d came as %+v and is %+v", d.Seq, d, truth[i]))
		case i > next:
			wrong = append(wrong, fmt.Sprintf("event %d came before %d, which is missing or late", d.Seq, truth[next].Seq))
			next = i + 1
		case i == next:
			next++
		default:
			again++
		}
	}
	if next < len(truth) {
		wrong = append(wrong, fmt.Sprintf("%d events never came, from %d on", len(truth)-next, truth[next].Seq))
	}
	return wrong, again
}
