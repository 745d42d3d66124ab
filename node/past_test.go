package node

import "testing"

// What is void, and where a time begins, also after a clock that jumped.
func TestPast(t *testing.T) {
	var p past
	reasons := []voidReason{"", voidEpoch, voidDuplicate, voidChanged, voidGone, voidExists, voidNoop, voidLimited}
	if p.void(1) != "" || p.before(1e9) != 0 {
		t.Error("an empty past knows something")
	}
	p.note(1, "", 0)
	for seq := uint64(2); seq < 100; seq++ {
		void := reasons[seq%uint64(len(reasons))]
		p.note(seq, void, int64(seq)*20e9+6000e9)
		if got := p.void(seq); got != void {
			t.Errorf("%d is void %q, want %q", seq, got, void)
		}
	}
	for at := int64(0); at < 9000; at++ {
		seq := p.before(at)
		if seq >= 2 && int64(seq)*20+6000 > at-60 || seq < 98 && seq > 0 && int64(seq+1)*20+6000 <= at-120 {
			t.Errorf("before %d: %d", at, seq)
		}
	}
	p.note(200, "", int64(1e8)*60e9)
	if len(p.minutes) != 1 || p.before(9000) != 0 {
		t.Error("a jump of the clock is filled with minutes")
	}
	if p.void(99) != reasons[99%len(reasons)] {
		t.Error("a jump of the clock makes it forget")
	}
}
