package fence

import (
	"cmp"
	"slices"
)

// queue holds the barriers that wait, by rising sequence. Barriers come in that order except for repeated operations.
type queue struct {
	items []waiter
	head  int // items before it have been taken
}

// waiter is one barrier.
type waiter struct{ seq, tag uint64 }

// push enters w after its equals.
func (q *queue) push(w waiter) {
	if w.seq >= q.last() {
		q.items = append(q.items, w)
		return
	}
	i, _ := slices.BinarySearchFunc(q.items[q.head:], w.seq+1, func(a waiter, seq uint64) int { return cmp.Compare(a.seq, seq) })
	q.items = slices.Insert(q.items, q.head+i, w)
}

// len returns how many wait.
func (q *queue) len() int { return len(q.items) - q.head }

// first returns the lowest sequence, and false if the queue is empty.
func (q *queue) first() (uint64, bool) {
	if q.len() == 0 {
		return 0, false
	}
	return q.items[q.head].seq, true
}

// last returns the highest sequence, 0 if the queue is empty.
func (q *queue) last() uint64 {
	if q.len() == 0 {
		return 0
	}
	return q.items[len(q.items)-1].seq
}

// pop removes the first barrier and returns its tag. The room before head is reclaimed when it is half of the queue, so
// a push or pop moves two items at most on average.
func (q *queue) pop() (tag uint64) {
	tag = q.items[q.head].tag
	q.head++
	if 2*q.head >= len(q.items) {
		q.items = slices.Delete(q.items, 0, q.head)
		q.head = 0
	}
	return tag
}
