package limit

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A table that is made of another one's entries does the same from there on, and an entry has every field of a count.
func TestEntries(t *testing.T) {
	c, e := reflect.TypeFor[count](), reflect.TypeFor[Entry]()
	for i := range c.NumField() {
		name := c.Field(i).Name
		if _, ok := e.FieldByNameFunc(func(s string) bool { return strings.EqualFold(s, name) }); !ok && name != "index" {
			t.Errorf("an entry lacks %s", name)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	a, b := NewTable(20), NewTable(20)
	now := int64(0)
	step := func(tables ...*Table) {
		what, k, n := r.IntN(4), key(r.IntN(40)), r.IntN(3)
		now += r.Int64N(int64(20 * time.Second))
		for _, table := range tables {
			switch what {
			case 0:
				table.Forgive(k, n)
			case 1:
				table.Sweep(now)
			default:
				table.Fail(k, rule, now, uint64(now))
			}
		}
	}
	for range 500 {
		step(a)
	}
	for _, e := range a.Entries() {
		b.Restore(e)
	}
	for range 500 {
		step(a, b)
		if got, want := b.Entries(), a.Entries(); len(want) == 0 || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}
