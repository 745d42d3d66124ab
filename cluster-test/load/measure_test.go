package load

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// Known values: the rule of three, and the upper limits of Clopper and Pearson by exact sums in 50 digits, as
// binom.test(k, n, alternative="less", conf.level=0.95) of R defines them.
func TestUpperBound(t *testing.T) {
	for _, c := range []struct {
		hits, trials int64
		confidence   float64
		want         float64
	}{
		{0, 1, 0.95, 0.95},
		{0, 10, 0.95, 0.2588656},
		{0, 100, 0.95, 0.0295130},
		{0, 10000, 0.95, 0.000299528},
		{0, 1000000, 0.95, 2.99573e-06},
		{0, 100, 0.99, 0.0450074},
		{1, 10, 0.95, 0.3941633},
		{5, 10, 0.95, 0.7775589},
		{1, 100, 0.95, 0.0465599},
		{10, 100, 0.95, 0.1637176},
		{10, 10, 0.95, 1},
		{0, 0, 0.95, 1},
	} {
		if got := UpperBound(c.hits, c.trials, c.confidence); math.Abs(got-c.want) > 1e-5*c.want {
			t.Errorf("%d of %d at %v: %.7g, want %.7g", c.hits, c.trials, c.confidence, got, c.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	h := newHistogram()
	for i := 1; i <= 1000; i++ {
		record(h, time.Duration(i)*time.Millisecond)
	}
	d := describe(h)
	for name, c := range map[string][2]float64{
		"mean": {d.MeanMS, 500.5}, "least": {d.MinMS, 1}, "p50": {d.P50MS, 500}, "p90": {d.P90MS, 900}, "p99": {d.P99MS, 990},
		"p99.9": {d.P999MS, 999}, "greatest": {d.MaxMS, 1000},
	} {
		if math.Abs(c[0]-c[1]) > c[1]/1000 { // three digits
			t.Errorf("%s: %v, want %v", name, c[0], c[1])
		}
	}
	if d.Count != 1000 || d.Curve[0].Percentile != 0 || d.Curve[len(d.Curve)-1].Percentile != 100 {
		t.Errorf("%d, curve from %v to %v", d.Count, d.Curve[0], d.Curve[len(d.Curve)-1])
	}
	for i, p := range d.Curve {
		// So many took at most so long: their number is the value here.
		if want := p.Percentile * 10; math.Abs(p.MS-want) > 2+want/500 {
			t.Errorf("point %d: %v", i, p)
		}
	}
	if empty := describe(newHistogram()); empty.Count != 0 || empty.Curve != nil {
		t.Errorf("nothing: %+v", empty)
	}
	record(h, -time.Second)
	record(h, time.Hour)
	if d := describe(h); d.Count != 1002 || d.MinMS != 0 || d.MaxMS < 600_000 {
		t.Errorf("out of bounds: %d from %v to %v", d.Count, d.MinMS, d.MaxMS)
	}
}

func TestParseTiming(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		header       string
		commit, wait time.Duration
		last         string
		ok           bool
	}{
		{`commit;dur=0.812, barrier;dur=1.5;desc="r2"`, 812 * time.Microsecond, 1500 * time.Microsecond, "r2", true},
		{`barrier;desc=r2;dur=3,commit;dur=2`, 2 * ms, 3 * ms, "r2", true},
		{`cache;desc="x";dur=9, commit;dur=1, barrier;dur=0`, ms, 0, "", true},
		{`commit;dur=1`, ms, 0, "", false},
		{`commit;dur=x, barrier;dur=1`, 0, ms, "", false},
		{`commit;dur=-1, barrier;dur=1`, 0, ms, "", false},
		{``, 0, 0, "", false},
		{`commit, barrier`, 0, 0, "", false},
	} {
		commit, wait, last, ok := parseTiming(c.header)
		if commit != c.commit || wait != c.wait || last != c.last || ok != c.ok {
			t.Errorf("%q: %v %v %q %v", c.header, commit, wait, last, ok)
		}
	}
}

func TestSpans(t *testing.T) {
	got := spans([]State{Accepting, Accepting, Refusing, Silent, Silent, Accepting})
	want := []Span{{Accepting, 0, 0.1}, {Refusing, 0.1, 0.15}, {Silent, 0.15, 0.25}, {Accepting, 0.25, 0.3}}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestSpread(t *testing.T) {
	var d []time.Duration
	for i := range 100 {
		d = append(d, time.Duration(50-i)*time.Millisecond)
	}
	if got, want := spread(d), (Spread{100, -49, 1, 50, 50}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := spread(nil); got != (Spread{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestPool(t *testing.T) {
	p := newPool(1)
	if p.take(0) != nil || p.pick(0) != nil || p.pickDead(0) != nil {
		t.Fatal("an empty pool gives something")
	}
	lasting, short := &session{access: "lasting"}, &session{access: "short", until: time.Second}
	p.add(lasting)
	p.add(short)
	seen := map[*session]bool{}
	for range 100 {
		seen[p.pick(0)] = true
	}
	if len(seen) != 2 {
		t.Errorf("%d of 2 are picked", len(seen))
	}
	for range 100 {
		if p.pick(time.Second) != lasting {
			t.Fatal("a token is used that is about to expire")
		}
	}
	if p.expiredCount() != 1 || p.size() != 1 {
		t.Errorf("%d expired, %d left", p.expiredCount(), p.size())
	}
	if p.take(0) != lasting || p.take(0) != nil {
		t.Error("taken twice")
	}
	for range remembered + 10 {
		p.bury(&session{until: time.Second})
	}
	if len(p.dead) != remembered || p.pickDead(0) == nil || p.pickDead(time.Second) != nil {
		t.Error("ended sessions are not remembered as they should be")
	}
}

// A replica that goes back, or says something else of the same sequence, has a gap; one that restarts has not.
func TestStream(t *testing.T) {
	a, b := newView("a", nil), newView("b", nil)
	st := &stream{digests: map[uint64]string{}}
	say := func(v *view, inc string, applied uint64, digest string, at time.Duration) observed {
		return observed{v, standing{Incarnation: inc, Epoch: "e", Applied: applied, Digest: digest}, at, true}
	}
	st.take([]observed{say(a, "1", 10, "x", 0), say(b, "2", 10, "x", 0)})
	st.take([]observed{say(a, "1", 20, "y", time.Second), say(b, "2", 12, "z", time.Second)})
	st.take([]observed{say(a, "1", 30, "", 3*time.Second), say(b, "2", 13, "", 3*time.Second)})
	st.take([]observed{say(a, "1", 40, "", 4*time.Second), say(b, "3", 5, "", 4*time.Second)}) // restarted
	if a.gaps != 0 || b.gaps != 0 {
		t.Errorf("gaps %d and %d, want none", a.gaps, b.gaps)
	}
	if a.behind != 0 || b.behind != 2*time.Second || b.lag.Max() != 17 || a.lag.Max() != 0 {
		t.Errorf("behind %v and %v, lag %d and %d", a.behind, b.behind, a.lag.Max(), b.lag.Max())
	}
	st.take([]observed{say(a, "1", 39, "", 5*time.Second), say(b, "3", 20, "not y", 5*time.Second)})
	if a.gaps != 1 || b.gaps != 1 {
		t.Errorf("gaps %d and %d, want 1 and 1", a.gaps, b.gaps)
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		kind   history.Kind
		status int
		body   string
		want   history.Outcome
	}{
		{history.Verify, 200, "", history.OK},
		{history.Verify, 401, "", history.Refused},
		{history.Verify, 503, "", history.Unavailable},
		{history.Verify, 302, "", history.Unexpected},
		{history.Logout, 204, "", history.OK},
		{history.Logout, 503, "", history.Unknown},
		{history.Logout, 202, "", history.Unexpected},
		{history.Refresh, 400, `{"error":"invalid_grant"}`, history.Refused},
		{history.Refresh, 400, `{"error":"invalid_request"}`, history.Unexpected},
		{history.Login, 429, "", history.Unknown},
	} {
		if got := judge(c.kind, c.status, []byte(c.body)); got != c.want {
			t.Errorf("%s answered %d %s: %s, want %s", c.kind, c.status, c.body, got, c.want)
		}
	}
}
