package fault

import (
	"strings"
	"testing"
	"time"
)

func TestParsePlanned(t *testing.T) {
	for text, want := range map[string]Planned{
		"pause@10s:r1:3s":      {PlanPause, 10 * time.Second, 3 * time.Second, "r1"},
		"kill@0s:leader:500ms": {PlanKill, 0, 500 * time.Millisecond, Leader},
		"cut@1m30s:any:4.5s":   {PlanCut, 90 * time.Second, 4500 * time.Millisecond, Any},
	} {
		if got, err := ParsePlanned(text); got != want || err != nil {
			t.Errorf("%q: %+v %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                   "four parts",
		"pause":              "four parts",
		"pause@10s:r1":       "four parts",
		"pause@10s:r1:3s:4s": "four parts",
		"stop@10s:r1:3s":     `"stop" is none of pause, kill, cut`,
		"@10s:r1:3s":         `"" is none of`,
		"pause@10:r1:3s":     `"10" is no time to begin`,
		"pause@-1s:r1:3s":    `"-1s" is no time to begin`,
		"pause@10s::3s":      "names no replica",
		"pause@10s:r1:":      `"" is no duration`,
		"pause@10s:r1:0s":    `"0s" is no duration`,
		"pause@10s:r1:1":     `"1" is no duration`,
		"pause@10s:r1:-3s":   `"-3s" is no duration`,
	} {
		_, err := ParsePlanned(text)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "such as pause@10s:r1:3s") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if err := ParseKinds([]string{"pause", "trip"}); err == nil || ParseKinds([]string{"pause", "kill", "cut"}) != nil {
		t.Error("kinds are not told apart")
	}
}

func TestPlanCheck(t *testing.T) {
	names := []string{"r0", "r1", "r2"}
	for text, want := range map[string]string{
		"pause@1s:r0:3s":                                  "",
		"pause@1s:r0:3s kill@4s:r0:3s":                    "",
		"pause@1s:r0:3s kill@2s:r1:3s":                    "",
		"pause@1s:leader:3s kill@1s:leader:3s":            "",
		"kill@3s:r0:3s pause@1s:r0:3s":                    "kill@3s:r0:3s begins before the fault of r0 before it ends",
		"pause@1s:r3:3s":                                  `no replica is named "r3": want one of r0, r1, r2, leader, any`,
		"pause@8s:r0:3s":                                  "ends after the run, which takes 10s",
		"pause@7s:any:3s kill@1s:r2:1s cut@1s:nobody:10s": "ends after the run",
	} {
		var p Plan
		for f := range strings.FieldsSeq(text) {
			planned, err := ParsePlanned(f)
			if err != nil {
				t.Fatal(err)
			}
			p.Faults = append(p.Faults, planned)
		}
		err := p.Check(names, 10*time.Second)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if err := (Plan{Every: time.Second, Longest: 2 * time.Second}).Check(names, time.Minute); err == nil {
		t.Error("faults at random may overlap")
	}
}

// Faults at random are the same for the same seed, of the kinds and lengths that were asked for, and at their time.
func TestTimeline(t *testing.T) {
	p := Plan{
		Faults: []Planned{{PlanCut, 25 * time.Second, time.Second, "r0"}},
		Every:  10 * time.Second, Kinds: []string{PlanPause, PlanKill}, Shortest: 2 * time.Second, Longest: 6 * time.Second, Seed: 3,
	}
	all := p.timeline(time.Minute)
	if len(all) != 6 || all[2] != p.Faults[0] {
		t.Fatalf("%+v", all)
	}
	kinds := map[string]int{}
	for i, f := range append(all[:2:2], all[3:]...) {
		kinds[f.Kind]++
		if f.At != time.Duration(i+1)*10*time.Second || f.Replica != Any || f.For < 2*time.Second || f.For > 6*time.Second {
			t.Errorf("%+v", f)
		}
	}
	if kinds[PlanCut] > 0 {
		t.Errorf("%v", kinds)
	}
	again, other := p.timeline(time.Minute), p
	other.Seed++
	same := true
	for i, f := range other.timeline(time.Minute) {
		if again[i] != all[i] {
			t.Errorf("%+v, then %+v", all[i], again[i])
		}
		same = same && f == all[i]
	}
	if same {
		t.Error("another seed gives the same faults")
	}
	if !p.Uses(PlanCut) || !p.Uses(PlanKill) || p.UsesLeader() || p.Empty() || !(Plan{}).Empty() {
		t.Error("what the plan uses")
	}
}
