package fence

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the expected output of testdata/*.txt")

// TestScripts runs the scenarios of testdata. A file is a list of blocks: lines of commands, a line "----", and what the
// commands print, up to an empty line. Lines that start with # are comments. The commands:
//
//	start NAME [length=D] [break=LIST]   a replica that will be given the whole log, from the next apply on
//	resume NAME FROM [length=D]          one that loads a snapshot which replica FROM writes now
//	rate NAME PERCENT                    how fast its clocks run, 100 at first
//	pass D                               time passes
//	sleep NAME D                         time passes, and NAME's monotonic clock stands still
//	step NAME D                          NAME's wall clock jumps
//	note NAME [COUNTER]                  NAME notes its clocks for its next ping, or for that one again
//	append NAME [COUNTER]                NAME's ping (the newest one noted) enters the log
//	beat NAME                            note and append
//	event                                something that needs a barrier enters the log
//	left NAME                            the log says that NAME left
//	apply NAME [SEQ]                     NAME applies the log up to SEQ, or all of it; events get a barrier
//	again NAME SEQ                       NAME asks for the barrier of an event once more
//	report FROM TO [SEQ]                 TO gets FROM's report: SEQ, or what it has applied
//	fence NAME                           NAME drops its lease
//	lease NAME, holders NAME, next NAME, pending NAME SEQ
//
// Whatever happens, each barrier that completes is printed.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts: ", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := runScript(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("output differs (-update rewrites it); got:\n%s", got)
			}
		})
	}
}

// runScript returns the script with the output that its commands have now.
func runScript(text string) (string, error) {
	var out strings.Builder
	st := stage{actors: map[string]*actor{}}
	expected := false // within the old output
	for n, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		switch {
		case line == "----":
			expected = true
			fmt.Fprintf(&out, "----\n%s", st.out.String())
			st.out.Reset()
		case line == "" || strings.HasPrefix(line, "#"):
			expected = false
			fmt.Fprintln(&out, line)
		case expected:
		default:
			fmt.Fprintln(&out, line)
			if err := st.run(strings.Fields(line)); err != nil {
				return "", fmt.Errorf("line %d: %q: %w", n+1, line, err)
			}
		}
	}
	return out.String(), nil
}

// stage is the cluster that a script drives.
type stage struct {
	actors map[string]*actor
	order  []*actor // by start
	log    []message
	out    strings.Builder
}

// actor is one replica.
type actor struct {
	name    string
	m       *Machine
	now     Reading
	rate    int // percent
	length  time.Duration
	counter uint64
	applied uint64
}

// message is an entry of the log: a ping, a leave, or neither.
type message struct {
	ping *Ping
	left string
}

// command is one word of the language: how many arguments it takes at least, and what it does.
type command struct {
	args int
	do   func(s *stage, args []string) error
}

func (s *stage) run(words []string) error {
	commands := map[string]command{
		"start":  {1, (*stage).start},
		"resume": {2, (*stage).resume},
		"rate":   {2, func(s *stage, a []string) (err error) { s.actors[a[0]].rate, err = strconv.Atoi(a[1]); return }},
		"pass":   {1, func(s *stage, a []string) error { return s.pass("", a[0]) }},
		"sleep":  {2, func(s *stage, a []string) error { return s.pass(a[0], a[1]) }},
		"step": {2, func(s *stage, a []string) error {
			d, err := time.ParseDuration(a[1])
			s.actors[a[0]].now.Wall += d
			return err
		}},
		"note":   {1, (*stage).note},
		"append": {1, (*stage).append},
		"beat": {1, func(s *stage, a []string) error {
			if err := s.note(a); err != nil {
				return err
			}
			return s.append(a)
		}},
		"event":  {0, func(s *stage, _ []string) error { s.enter("event", message{}); return nil }},
		"left":   {1, func(s *stage, a []string) error { s.enter(a[0]+" left", message{left: a[0]}); return nil }},
		"apply":  {1, (*stage).apply},
		"again":  {2, (*stage).again},
		"report": {2, (*stage).report},
		"fence":  {1, func(s *stage, a []string) error { s.actors[a[0]].m.Fence(); return nil }},
		"lease":  {1, func(s *stage, a []string) error { s.lease(s.actors[a[0]]); return nil }},
		"holders": {1, func(s *stage, a []string) error {
			r := s.actors[a[0]]
			for _, h := range r.m.Holders(r.now) {
				s.printf("%s: %s has reported %d, horizon %v", r.name, nameOf(h.Inc), h.Applied, h.Until)
			}
			return nil
		}},
		"next": {1, func(s *stage, a []string) error {
			at, ok := s.actors[a[0]].m.Next()
			s.printf("%s: next %v %v", a[0], at, ok)
			return nil
		}},
		"pending": {2, (*stage).pending},
	}
	c, ok := commands[words[0]]
	args := words[1:]
	if !ok || len(args) < c.args {
		return fmt.Errorf("unknown command, or too few arguments")
	}
	if words[0] != "start" && c.args > 0 && words[0] != "pass" && words[0] != "left" {
		i := 0
		if words[0] == "resume" {
			i = 1
		}
		if s.actors[args[i]] == nil {
			return fmt.Errorf("nobody is called %q", args[i])
		}
	}
	if err := c.do(s, args); err != nil {
		return err
	}
	s.completed()
	return nil
}

func (s *stage) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

// incOf and nameOf convert between names of at most 16 letters and incarnations.
func incOf(name string) (inc Incarnation) { copy(inc[:], name); return inc }
func nameOf(inc Incarnation) string       { return strings.TrimRight(string(inc[:]), "\x00") }

func (s *stage) start(args []string) error { return s.enterActor(args[0], args[1:], nil) }

func (s *stage) resume(args []string) error {
	from := s.actors[args[1]]
	if err := s.enterActor(args[0], args[2:], from.m.Holders(from.now)); err != nil {
		return err
	}
	s.actors[args[0]].applied = from.applied
	return nil
}

func (s *stage) enterActor(name string, options []string, unseen []Holder) (err error) {
	r := &actor{name: name, rate: 100, length: 10 * time.Second}
	cfg := Config{Self: incOf(name)}
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		switch key {
		case "length":
			r.length, err = time.ParseDuration(value)
		case "break":
			cfg.Break, err = ParseMutation(value)
		default:
			err = fmt.Errorf("unknown option %q", o)
		}
		if err != nil {
			return err
		}
	}
	cfg.Length = r.length
	r.m = New(cfg, r.now, unseen)
	s.actors[name] = r
	s.order = append(s.order, r)
	return nil
}

// pass lets time go by; the monotonic clock of the sleeper stands still.
func (s *stage) pass(sleeper, text string) error {
	d, err := time.ParseDuration(text)
	for _, r := range s.order {
		own := d * time.Duration(r.rate) / 100
		r.now.Wall += own
		if r.name != sleeper {
			r.now.Mono += own
		}
	}
	return err
}

func (s *stage) note(args []string) (err error) {
	r := s.actors[args[0]]
	r.counter++
	counter := r.counter
	if len(args) > 1 {
		r.counter--
		counter, err = strconv.ParseUint(args[1], 10, 64)
	}
	r.m.Sent(counter, r.now)
	return err
}

func (s *stage) append(args []string) (err error) {
	r := s.actors[args[0]]
	p := Ping{Inc: incOf(r.name), Counter: r.counter, Applied: r.applied, Length: r.length}
	if len(args) > 1 {
		p.Counter, err = strconv.ParseUint(args[1], 10, 64)
	}
	s.enter(fmt.Sprintf("ping %s/%d", r.name, p.Counter), message{ping: &p})
	return err
}

func (s *stage) enter(what string, m message) {
	s.log = append(s.log, m)
	s.printf("log %d: %s", len(s.log), what)
}

func (s *stage) apply(args []string) (err error) {
	r := s.actors[args[0]]
	to := uint64(len(s.log))
	if len(args) > 1 {
		if to, err = strconv.ParseUint(args[1], 10, 64); err != nil || to > uint64(len(s.log)) {
			return fmt.Errorf("no such sequence")
		}
	}
	for r.applied < to {
		m := s.log[r.applied]
		r.applied++
		switch {
		case m.ping != nil:
			before := r.m.Lease()
			r.m.Beat(r.applied, *m.ping, r.now)
			if r.m.Lease() != before {
				s.lease(r)
			}
		case m.left != "":
			r.m.Left(incOf(m.left))
		default:
			s.barrier(r, r.applied)
		}
	}
	return nil
}

func (s *stage) again(args []string) error {
	seq, err := strconv.ParseUint(args[1], 10, 64)
	s.barrier(s.actors[args[0]], seq)
	return err
}

// barrier starts a barrier whose tag is its sequence.
func (s *stage) barrier(r *actor, seq uint64) {
	if r.m.Barrier(seq, r.now, seq) {
		s.printf("%s: barrier %d is complete", r.name, seq)
		return
	}
	s.waits(r, seq)
}

func (s *stage) pending(args []string) error {
	seq, err := strconv.ParseUint(args[1], 10, 64)
	s.waits(s.actors[args[0]], seq)
	return err
}

func (s *stage) waits(r *actor, seq uint64) {
	who, until := r.m.Pending(seq, r.now)
	names := make([]string, len(who))
	for i, inc := range who {
		names[i] = nameOf(inc)
	}
	slices.Sort(names)
	if len(who) == 0 {
		s.printf("%s: barrier %d waits for nobody", r.name, seq)
		return
	}
	s.printf("%s: barrier %d waits for %s until %v, now %v", r.name, seq, strings.Join(names, " "), until, r.now.Mono)
}

func (s *stage) report(args []string) (err error) {
	seq := s.actors[args[0]].applied
	if len(args) > 2 {
		seq, err = strconv.ParseUint(args[2], 10, 64)
	}
	to := s.actors[args[1]]
	if to == nil {
		return fmt.Errorf("nobody is called %q", args[1])
	}
	to.m.Report(incOf(args[0]), seq)
	return err
}

func (s *stage) lease(r *actor) {
	l := r.m.Lease()
	if !l.Valid(r.now) {
		s.printf("%s: no valid lease", r.name)
		return
	}
	s.printf("%s: lease for %v", r.name, l.Remaining(r.now))
}

// completed prints the barriers that are complete now.
func (s *stage) completed() {
	for _, r := range s.order {
		for _, tag := range r.m.Completed(nil, r.now) {
			s.printf("%s: barrier %d completes at %v", r.name, tag, r.now.Mono)
		}
	}
}
