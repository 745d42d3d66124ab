package limit

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var rule = Rule{Free: 5, MaxDelay: 15 * time.Minute, Forget: 15 * time.Minute}

func key(n int) Key { return Key{Address: uint64(n)} }

const second = int64(time.Second)

// Five failures are free; then the delays double up to the longest.
func TestDelaysGrow(t *testing.T) {
	table, now := NewTable(10), int64(0)
	var got []time.Duration
	for range 18 {
		table.Fail(key(1), rule, now, 1)
		wait := table.Wait(key(1), now)
		got = append(got, wait/time.Second)
		now += int64(wait)
	}
	// From 512 s on a failure is forgotten now and then while the next one is waited for.
	want := []time.Duration{0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512}
	if !slices.Equal(got[:len(want)], want) {
		t.Errorf("delays %v, want %v", got, want)
	}
	for _, d := range got[len(want):] {
		if d < 256 || d > 900 {
			t.Errorf("a delay of %d s in a lasting attack", d)
		}
	}
}

// A guesser who never rests gets no more than a few guesses an hour in the long run, and neither does one who waits until
// everything is forgotten.
func TestGuessesADay(t *testing.T) {
	day := 24 * 3600 * second
	for pause := range 12 { // after so many guesses in a row it rests until all is forgotten
		table, n := NewTable(10), 0
		for now := int64(0); now < day; n++ {
			table.Fail(key(1), rule, now, 1)
			now += int64(table.Wait(key(1), now))
			if pause > 0 && n%pause == pause-1 {
				now += int64(pause) * int64(rule.Forget)
			}
		}
		if n > 200 {
			t.Errorf("resting after %d: %d guesses a day", pause, n)
		}
	}
}

func TestForgetting(t *testing.T) {
	table := NewTable(10)
	for range 7 {
		table.Fail(key(1), rule, 0, 1)
	}
	if n, _ := table.Fail(key(1), rule, int64(3*rule.Forget)+1, 2); n != 5 {
		t.Errorf("%d failures after three were forgotten and one came", n)
	}
	table.Sweep(int64(8*rule.Forget) - 1)
	if table.Len() != 1 {
		t.Error("swept before its time")
	}
	table.Sweep(int64(8 * rule.Forget))
	if table.Len() != 0 {
		t.Error("not swept")
	}
}

// The mark names the failure with which delays began, until they have ended.
func TestDelayed(t *testing.T) {
	table := NewTable(10)
	for mark := range uint64(7) {
		table.Fail(key(1), rule, 0, mark+1)
	}
	if mark, until := table.Delayed(key(1)); mark != 5 || until != 4*second {
		t.Errorf("delays began at %d and last until %d", mark, until)
	}
	table.Forgive(key(1), 3)
	if mark, until := table.Delayed(key(1)); mark != 0 || until != 0 {
		t.Errorf("forgiven, but delays began at %d and last until %d", mark, until)
	}
	table.Fail(key(1), rule, 0, 8)
	if mark, _ := table.Delayed(key(1)); mark != 8 {
		t.Errorf("delays began at %d, not anew", mark)
	}
	if n := table.Drop(key(1)); n != 5 || table.Len() != 0 {
		t.Errorf("dropped %d failures, %d keys left", n, table.Len())
	}
}

// Whoever fills the table does not free himself by it.
func TestFullTable(t *testing.T) {
	table := NewTable(100)
	for range 9 {
		table.Fail(key(1), rule, 0, 1)
	}
	for i := range 10_000 {
		table.Fail(key(i+2), rule, second, 1)
	}
	if table.Len() != 100 {
		t.Errorf("%d keys", table.Len())
	}
	if table.Wait(key(1), second) == 0 {
		t.Error("the one who waits was driven out")
	}
}

// Tables that were asked the same hold the same, whatever the order of Go's maps: which key makes room is decided by the
// keys.
func TestSameCallsSameTable(t *testing.T) {
	run := func() (waits []time.Duration) {
		rng := rand.New(rand.NewPCG(1, 2))
		table, now := NewTable(50), int64(0)
		for i := range 20_000 {
			k := Key{Account: [16]byte{byte(rng.IntN(8))}, Address: uint64(rng.IntN(20))}
			switch rng.IntN(12) {
			case 0:
				table.Forgive(k, rng.IntN(4))
			case 1:
				table.Drop(k)
			case 2:
				now += int64(rng.IntN(100)) * second
				table.Sweep(now)
			case 3:
				if i%50 == 0 {
					table.DropAccount(k.Account)
				}
			default:
				table.Fail(k, rule, now, uint64(i))
			}
			waits = append(waits, table.Wait(k, now))
			if table.Len() > 50 || len(table.forgets) != table.Len() {
				t.Fatalf("%d keys, %d queued", table.Len(), len(table.forgets))
			}
		}
		return waits
	}
	if !slices.Equal(run(), run()) {
		t.Error("two runs differ")
	}
}
