package node

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

	"github.com/knell-auth/knell/events"
)

var update = flag.Bool("update", false, "rewrite the expected output of text scenarios")

// scenario drives a state with events that are written as text. Names stand for ids; a sequence is a number or "=name", the
// newest sequence of that user, client or session when the line runs.
type scenario struct {
	s     *state
	seq   uint64
	epoch events.ID
	now   int64
}

// TestFold runs the scripts of testdata/fold-*.txt: a line that begins with "> " is a command, and what follows is what
// it has to print.
func TestFold(t *testing.T) {
	files, err := filepath.Glob("testdata/fold-*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("output differs; run with -update and review.\n got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func runScript(t *testing.T, script string) string {
	t.Helper()
	sc := &scenario{s: newState(), epoch: testID("epoch"), now: 1_800_000_000}
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "> "):
			fmt.Fprintf(&out, "%s\n%s", line, sc.run(t, strings.Fields(line[2:])))
		case strings.HasPrefix(line, "#") || line == "":
			fmt.Fprintln(&out, line)
		}
	}
	return out.String()
}

func testID(name string) events.ID { return events.DeriveID("test", []byte(name)) }

// run carries out one command and returns what it prints.
func (sc *scenario) run(t *testing.T, words []string) string {
	t.Helper()
	arg := map[string]string{}
	var plain []string
	for _, w := range words[1:] {
		if k, v, ok := strings.Cut(w, ":"); ok {
			arg[k] = v
		} else {
			plain = append(plain, w)
		}
	}
	switch words[0] {
	case "state":
		return sc.print()
	case "older":
		return sc.older(arg)
	case "live":
		return fmt.Sprintf("%v\n", sc.live(plain[0]))
	}
	d := sc.payload(t, words[0], plain, arg)
	e := &events.Event{ID: events.NewID(), Epoch: sc.epoch, Time: time.Unix(sc.now, 0), Node: arg["node"], Address: arg["from"], Data: d}
	if id := arg["id"]; id != "" {
		e.ID = testID(id)
	}
	if ep := arg["epoch"]; ep != "" {
		e.Epoch = testID(ep)
	}
	sc.seq++
	out := sc.s.apply(sc.seq, e)
	if out.void != "" {
		return fmt.Sprintf("%d void: %s\n", out.seq, out.void)
	}
	return fmt.Sprintf("%d ok\n", out.seq)
}

// payload builds the data of a command.
func (sc *scenario) payload(t *testing.T, cmd string, w []string, arg map[string]string) events.Payload {
	t.Helper()
	ttl := sc.num(arg, "ttl", 300)
	switch cmd {
	case "start":
		return &events.LogStarted{HashKey: make([]byte, 32)}
	case "time":
		add, err := strconv.ParseInt(w[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sc.now += add
		return &events.NodeBeat{Pings: []events.Ping{{Node: "a", Level: 9}}}
	case "user":
		return &events.SecretUser{User: testID(w[0]), Name: w[0], Hash: "h", Scope: []string{"profile"}}
	case "client":
		return &events.SecretClient{Client: w[0], Hash: "h"}
	case "login":
		return &events.SessionStarted{
			Session: testID(w[0]), User: testID(w[1]), Client: arg["client"], Scope: []string{"profile"}, IssuedAt: sc.now,
			AccessExpires: sc.now + ttl, IdleExpires: sc.now + sc.num(arg, "idle", 3600), Expires: sc.now + 86400,
			UserSeq: sc.at(arg, "user", w[1]), Code: sc.codeID(arg["code"]),
		}
	case "refresh":
		return &events.SessionRefreshed{
			Session: testID(w[0]), Generation: uint32(sc.num(arg, "gen", 1)), IssuedAt: sc.now, AccessExpires: sc.now + ttl,
			IdleExpires: sc.now + 3600, SessionSeq: sc.at(arg, "session", w[0]), UserSeq: sc.at(arg, "user", w[1]),
		}
	case "replayed":
		return &events.RefreshReplayed{
			Session: testID(w[0]), Generation: uint32(sc.num(arg, "gen", 1)), SessionSeq: sc.at(arg, "session", w[0]),
		}
	case "token":
		return &events.ClientToken{
			Session: testID(w[0]), Client: w[1], IssuedAt: sc.now, AccessExpires: sc.now + ttl, ClientSeq: sc.at(arg, "client", w[1]),
		}
	}
	return sc.narrowing(t, cmd, w, arg)
}

func (sc *scenario) narrowing(t *testing.T, cmd string, w []string, arg map[string]string) events.Payload {
	t.Helper()
	switch cmd {
	case "logout":
		return &events.SessionRevoked{Session: testID(w[0]), User: named(arg, "owner")}
	case "revoke-user":
		return &events.UserRevoked{User: testID(w[0]), Cause: arg["cause"], Except: named(arg, "except")}
	case "revoke-client":
		return &events.ClientRevoked{Client: w[0], Cause: arg["cause"]}
	case "revoke-all":
		return &events.AllRevoked{}
	case "password":
		return &events.SecretPassword{User: testID(w[0]), Hash: "h2", UserSeq: sc.at(arg, "user", w[0]), Except: named(arg, "except")}
	case "profile":
		return &events.SecretProfile{User: testID(w[0]), Name: w[1], Email: arg["email"], UserSeq: sc.at(arg, "user", w[0])}
	case "rehash":
		return &events.SecretRehash{User: testID(w[0]), Hash: "h3", UserSeq: uint64(sc.num(arg, "cred", 0))}
	case "roles":
		return &events.UserRolesChanged{User: testID(w[0]), Roles: w[1:], UserSeq: sc.at(arg, "user", w[0])}
	case "enable":
		return &events.UserEnabled{User: testID(w[0]), UserSeq: sc.at(arg, "user", w[0])}
	case "guess":
		return &events.AttemptStarted{User: testID(w[0]), Free: uint32(sc.num(arg, "free", 2)), MaxDelay: 60}
	case "forgive":
		return &events.AttemptsForgiven{User: testID(w[0])}
	case "unlock":
		return &events.AttemptsForgiven{User: testID(w[0]), Everywhere: true}
	case "record":
		return &events.UserCreated{User: testID(w[0]), Secret: uint64(sc.num(arg, "secret", 0))}
	}
	return sc.oauth(t, cmd, w, arg)
}

// named returns the id that an argument stands for, zero without it.
func named(arg map[string]string, key string) events.ID {
	if arg[key] == "" {
		return events.ID{}
	}
	return testID(arg[key])
}

func (sc *scenario) num(arg map[string]string, key string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(arg[key], 10, 64); err == nil {
		return n
	}
	return otherwise
}

// at returns the sequence that a command names, or the newest one of the record.
func (sc *scenario) at(arg map[string]string, key, name string) uint64 {
	if n, err := strconv.ParseUint(arg[key], 10, 64); err == nil {
		return n
	}
	switch key {
	case "user":
		if u := sc.s.users[testID(name)]; u != nil {
			return u.seq
		}
	case "client":
		if c := sc.s.clients[name]; c != nil {
			return c.seq
		}
	case "session":
		if ses := sc.s.sessions[testID(name)]; ses != nil {
			return ses.seq
		}
	case "key":
		if k := sc.s.access.keys[testID(name)]; k != nil {
			return k.seq
		}
	case "role":
		if r := sc.s.access.roles[name]; r != nil {
			return r.seq
		}
	}
	return 0
}

// live reports what a verification of a session's tokens, or of a key that it has seen before, would find.
func (sc *scenario) live(name string) bool {
	if k := sc.s.access.keys[testID(name)]; k != nil {
		return sc.s.access.live.Live(k.flag)
	}
	ses := sc.s.sessions[testID(name)]
	return ses != nil && sc.s.words.Live(ses.word)
}

// print lists what is left of the state, without what is random.
func (sc *scenario) print() string {
	var lines []string
	for _, u := range sc.s.users {
		lines = append(lines, fmt.Sprintf("user %s seq %d cutoff %d stale %d disabled %v sessions %d hash %s",
			u.name, u.seq, u.cutoff, u.stale, u.disabled, u.count, u.hash))
	}
	for _, c := range sc.s.clients {
		lines = append(lines, fmt.Sprintf("client %s seq %d cutoff %d disabled %v", c.id, c.seq, c.cutoff, c.disabled))
	}
	lines = append(lines, sc.printAccess()...)
	lines = append(lines, fmt.Sprintf("sessions %d revoked %d records owed %d words %d",
		len(sc.s.sessions), sc.s.revoked.Len(), len(sc.s.records), sc.s.freeWord.next))
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}
