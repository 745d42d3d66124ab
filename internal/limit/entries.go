package limit

import (
	"bytes"
	"cmp"
	"container/heap"
	"slices"
)

// Entry is all that a table knows of a key, for whoever keeps tables. Times are in nanoseconds of the caller's clock.
type Entry struct {
	Key      Key
	Rule     Rule
	Failures int
	Since    int64
	Until    int64
	Delayed  uint64
}

// Entries returns what the table knows, by key: the same for tables that were given the same calls.
func (t *Table) Entries() []Entry {
	list := make([]Entry, 0, len(t.counts))
	for _, c := range t.counts {
		list = append(list, Entry{c.key, c.rule, c.failures, c.since, c.until, c.delayed})
	}
	slices.SortFunc(list, func(a, b Entry) int {
		return cmp.Or(bytes.Compare(a.Key.Account[:], b.Key.Account[:]), cmp.Compare(a.Key.Address, b.Key.Address))
	})
	return list
}

// Restore adds what another table knew of a key that this one does not know yet.
func (t *Table) Restore(e Entry) {
	c := &count{key: e.Key, rule: e.Rule, failures: e.Failures, since: e.Since, until: e.Until, delayed: e.Delayed}
	t.counts[e.Key] = c
	heap.Push(&t.forgets, c)
}
