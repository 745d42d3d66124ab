package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/knell-auth/knell/cluster-test/load"
)

var update = flag.Bool("update", false, "rewrite the reports in testdata")

// recorded returns a run that was recorded against a real cluster.
func recorded(t *testing.T, name string) *load.Result {
	t.Helper()
	r, err := ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// judged returns thresholds of every kind, judged.
func judged(t *testing.T, r *load.Result) []Verdict {
	t.Helper()
	list, err := ParseThresholds("leaks>0, logout_p99>5ms, leak_bound>=5%")
	if err != nil {
		t.Fatal(err)
	}
	verdicts, _ := Judge(r, list)
	return verdicts
}

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
		i := 0
		for i < min(len(g), len(w)) && g[i] == w[i] {
			i++
		}
		t.Errorf("%s differs from line %d on (-update rewrites it, and the difference is to be read):\n%s", name, i+1, strings.Join(g[min(i, len(g)):min(i+3, len(g))], "\n"))
	}
}

func TestText(t *testing.T) {
	var b bytes.Buffer
	r := recorded(t, "run.json")
	if err := Text(&b, r, judged(t, r), recorded(t, "before.json")); err != nil {
		t.Fatal(err)
	}
	golden(t, "run.txt", b.Bytes())
}

// What was read and is written again is the same, byte for byte: nothing of a result is lost on the way.
func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, recorded(t, "run.json")); err != nil {
		t.Fatal(err)
	}
	golden(t, "run.json", b.Bytes())
}

func TestHTML(t *testing.T) {
	var b bytes.Buffer
	r := recorded(t, "run.json")
	if err := HTML(&b, r, judged(t, r), recorded(t, "before.json")); err != nil {
		t.Fatal(err)
	}
	golden(t, "run.html", b.Bytes())
	wellFormed(t, b.String())
	if found := regexp.MustCompile(`(?i)<script|<link|<img|@import|https?://[^1<]|src=|url\([^#]`).FindString(b.String()); found != "" {
		t.Errorf("the page is not self-contained: %s", found)
	}
}

// wellFormed fails the test unless the pictures are XML and no number in them is none.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	pictures := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page, -1)
	if len(pictures) == 0 {
		t.Error("no picture")
	}
	for _, p := range pictures {
		d := xml.NewDecoder(strings.NewReader(p))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v in %s", err, p)
			}
		}
		if strings.Contains(p, "NaN") || strings.Contains(p, "Inf") {
			t.Error("a coordinate is no number")
		}
	}
}

// Leaks, wrong refusals, a replica that never came back, names that are markup: all of it shows, and none of it breaks the page.
func TestHTMLOfTrouble(t *testing.T) {
	r := recorded(t, "run.json")
	r.Interrupted = true
	r.Revocation.Leaks, r.Revocation.Leaking = 7, 3
	v := &r.Replicas[1]
	v.Name, v.Leaks, v.LeaksAt, v.WrongRefusals = `<b>&"`, 7, []float64{1.5, 2, 3}, 2
	v.Lane = append(v.Lane, load.Span{State: load.Wrong, From: 8, To: 9})
	r.Faults = append(r.Faults, load.Fault{Name: "kill", Replica: v.Name, From: 6})
	var b bytes.Buffer
	if err := HTML(&b, r, judged(t, r), nil); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	wellFormed(t, page)
	for want, n := range map[string]int{`class="leak"`: 3, `class="s-wrong"`: 1, `<b>&"`: 0, "LEAKS after 3 logouts": 1, "ready again at never": 1, `tile bad`: 3, "<b>interrupted</b>": 1} {
		if got := strings.Count(page, want); got != n {
			t.Errorf("%q %d times, want %d", want, got, n)
		}
	}
}

// A run in which nothing happened has a report, too.
func TestEmptyResult(t *testing.T) {
	r := &load.Result{Format: load.Format}
	var page, text bytes.Buffer
	if err := errors.Join(HTML(&page, r, nil, r), Text(&text, r, nil, r)); err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{page.String(), text.String()} {
		if !strings.Contains(got, "nothing is shown about leaks") {
			t.Errorf("%s", got)
		}
	}
}

func TestCompare(t *testing.T) {
	before, now := recorded(t, "before.json"), recorded(t, "run.json")
	before.Revocation.Leaks, now.Revocation.Leaks = 0, 2
	find := func(name string) Delta {
		all := Compare(before, now)
		return all[slices.IndexFunc(all, func(d Delta) bool { return d.Metric.Name == name })]
	}
	if d := find("leaks"); d.change() != "+2" || d.judgement() != "worse" {
		t.Errorf("leaks: %s %s", d.change(), d.judgement())
	}
	for _, c := range []struct {
		old, now          float64
		better            Better
		change, judgement string
	}{
		{100, 100, Less, "same", ""},
		{100, 105, Less, "+5 %", ""},
		{100, 150, Less, "+50 %", "worse"},
		{100, 1234, Less, "12.3 x", "worse"},
		{100, 50, Less, "-50 %", "better"},
		{100, 50, More, "-50 %", "worse"},
		{100, 50, Neither, "-50 %", ""},
		{-100, -50, Less, "+50", "worse"},
		{-50, -100, Less, "-50", "better"},
		{50, -50, Less, "-100", "better"},
		{0, 3, Less, "+3", "worse"},
	} {
		d := Delta{Metric{Better: c.better}, c.old, c.now}
		if d.change() != c.change || d.judgement() != c.judgement {
			t.Errorf("%v: %q %q", c, d.change(), d.judgement())
		}
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ content, want string }{
		"text":   {"knell", "not a result"},
		"other":  {`{"a":1}`, "format 0, want 1"},
		"future": {`{"format":99}`, "format 99, want 1"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadFile(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
