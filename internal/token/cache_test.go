package token

import (
	"fmt"
	"sync"
	"testing"
)

// fakeToken is a text as long as a token; n tells it from others.
func fakeToken(n int) string { return fmt.Sprintf("%0200d", n) }

func TestCacheHitsOnlyTheSameBytes(t *testing.T) {
	s := testSigner(1)
	claims := typical(s, 1)
	text, err := s.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	c := NewCache(100)
	if _, ok := c.Lookup(text); ok {
		t.Fatal("empty cache knows a token")
	}
	want := Entry{Expires: 1<<32 - 1, Session: 1<<32 - 2, Claims: claims}
	c.Insert(text, want)
	if e, ok := c.Lookup(text); !ok || e != want {
		t.Fatalf("Lookup = %+v, %v", e, ok)
	}
	changed := []byte(text)
	for i := range text {
		for b := range 256 {
			if changed[i] = byte(b); changed[i] == text[i] {
				continue
			}
			if _, ok := c.Lookup(stringOf(changed)); ok {
				t.Fatalf("hit with byte %d changed to %#x", i, b)
			}
		}
		changed[i] = text[i]
		if _, ok := c.Lookup(text[:i]); ok {
			t.Fatalf("hit with the first %d bytes", i)
		}
		if _, ok := c.Lookup(text[i+1:]); ok {
			t.Fatalf("hit without the first %d bytes", i+1)
		}
	}
	for _, more := range []string{"\x00", "\n", "=", " ", "A", text} {
		if _, ok := c.Lookup(text + more); ok {
			t.Errorf("hit with %q appended", more)
		}
		if _, ok := c.Lookup(more + text); ok {
			t.Errorf("hit with %q before it", more)
		}
	}
}

// TestCacheKeepsNoToken: the caller's bytes may change after the call.
func TestCacheKeepsNoToken(t *testing.T) {
	c := NewCache(100)
	b := []byte(fakeToken(1))
	c.Insert(stringOf(b), Entry{Session: 1})
	b[0] = 'x'
	if _, ok := c.Lookup(stringOf(b)); ok {
		t.Error("the changed bytes hit")
	}
	if _, ok := c.Lookup(fakeToken(1)); !ok {
		t.Error("the bytes that were inserted miss")
	}
}

func TestCacheLastInsertCounts(t *testing.T) {
	c := NewCache(100)
	c.Insert(fakeToken(1), Entry{Expires: 1, Session: 1})
	c.Insert(fakeToken(1), Entry{Expires: 2, Session: 2})
	if e, _ := c.Lookup(fakeToken(1)); e.Session != 2 || e.Expires != 2 {
		t.Errorf("got %+v", e)
	}
}

// entries counts what the tables hold.
func (c *Cache) entries() (n int) {
	ts := c.tables.Load()
	for _, t := range []*table{ts.current, ts.previous} {
		if t == nil {
			continue
		}
		used := 0
		for i := range t.slots {
			if t.slots[i].lo.Load() != 0 {
				used++
			}
		}
		if used != t.used || 2*used > len(t.slots) {
			panic(fmt.Sprintf("%d entries in %d slots, %d counted", used, len(t.slots), t.used))
		}
		n += used
	}
	return n
}

func TestCacheIsBoundedAndKeepsTheNewestHalf(t *testing.T) {
	for _, limit := range []int{2, 10, 1000, 1024, 3000} {
		c := NewCache(limit)
		for i := range 4 * limit {
			c.Insert(fakeToken(i), Entry{Session: uint32(i)})
			if i%(1+limit/3) == 0 && c.entries() > limit {
				t.Fatalf("limit %d: %d entries", limit, c.entries())
			}
			for _, old := range []int{i, i - limit/4, i - limit*199/400 + 1} {
				if old < 0 || old > i {
					continue
				}
				// Found again without putting it back, which would make it newer.
				lo, hi, _ := c.tagger.tag(fakeToken(old))
				ts := c.tables.Load()
				if ts.current.find(lo, hi) == nil && (ts.previous == nil || ts.previous.find(lo, hi) == nil) {
					t.Fatalf("limit %d: entry %d is gone after %d", limit, old, i)
				}
			}
		}
	}
}

// TestCacheKeepsWhatIsUsed: a token that is asked for again and again outlives any number of others.
func TestCacheKeepsWhatIsUsed(t *testing.T) {
	c := NewCache(2000)
	for i := range 20_000 {
		c.Insert(fakeToken(i), Entry{Session: uint32(i)})
		if e, ok := c.Lookup(fakeToken(0)); !ok || e.Session != 0 {
			t.Fatalf("gone after %d others", i)
		}
	}
}

// TestCacheLosesNothingWhileItGrows: all fit into half of the maximum.
func TestCacheLosesNothingWhileItGrows(t *testing.T) {
	const n = 20_000
	c := NewCache(2*n + n/50)
	for i := range n {
		c.Insert(fakeToken(i), Entry{Session: uint32(i)})
	}
	for i := range n {
		if e, ok := c.Lookup(fakeToken(i)); !ok || e.Session != uint32(i) {
			t.Fatalf("entry %d: %+v, %v", i, e, ok)
		}
	}
}

func TestCacheWithoutRoom(t *testing.T) {
	for _, limit := range []int{-1, 0, 1} {
		c := NewCache(limit)
		c.Insert(fakeToken(1), Entry{})
		if _, ok := c.Lookup(fakeToken(1)); ok {
			t.Errorf("NewCache(%d) remembers", limit)
		}
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	c := NewCache(100)
	c.Insert(fakeToken(1), Entry{})
	hit, miss := fakeToken(1), fakeToken(2)
	if n := testing.AllocsPerRun(100, func() { c.Lookup(hit); c.Lookup(miss) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestCacheConcurrently has readers, writers and table changes at once: an entry is never torn, and never another token's.
func TestCacheConcurrently(t *testing.T) {
	const tokens, rounds = 3000, 4
	c := NewCache(2000)
	texts := make([]string, tokens)
	claims := make([]*Claims, tokens)
	for i := range texts {
		texts[i], claims[i] = fakeToken(i), &Claims{Start: uint64(i)}
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for r := range rounds {
				for i := range texts {
					n := (i*7 + g*911 + r) % tokens
					if (i+g)%2 == 0 {
						c.Insert(texts[n], Entry{Expires: uint32(n), Session: uint32(n), Claims: claims[n]})
						continue
					}
					e, ok := c.Lookup(texts[n])
					if ok && (e.Expires != uint32(n) || e.Session != uint32(n) || e.Claims != claims[n]) {
						t.Errorf("token %d: %+v", n, e)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if n := c.entries(); n > 2000 {
		t.Errorf("%d entries", n)
	}
}
