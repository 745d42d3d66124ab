package httpapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/knell-auth/knell/node"
)

// TestScripts runs the HTTP calls in testdata/*.txt and testdata/attacks/*.txt against a replica that listens on loopback. A script
// is a list of steps:
//
//	=== what the step shows
//	POST /token
//	Content-Type: application/x-www-form-urlencoded
//
//	grant_type=password&username=alice
//	--- 400
//	Content-Type: application/json
//	~ "error":"invalid_request"
//	? name member
//
// Above the dashes stands the request: method and target, headers, an empty line and the body. Host, Connection and
// Content-Length are added unless given. Below stand the status, headers that the answer must have (with the value "-":
// must not have; with a trailing "...": must begin with), pieces of text that its body must have, and members of its
// JSON to be kept under a name. {name} stands for what was kept, {x*9} for a repetition and {0x00} for a byte. The
// accounts of the world and their tokens are in world_test.go.
func TestScripts(t *testing.T) {
	files, err1 := filepath.Glob("testdata/*.txt")
	attacks, err2 := filepath.Glob("testdata/attacks/*.txt")
	if len(files) == 0 || len(attacks) == 0 {
		t.Fatalf("no scripts: %v, %v", err1, err2)
	}
	for _, file := range append(files, attacks...) {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var edit []func(*node.Config)
			if strings.HasPrefix(filepath.Base(file), "basic") {
				edit = append(edit, withBasic)
			}
			w := newWorld(t, edit...)
			for _, s := range parseScript(t, string(text)) {
				t.Run(s.name, func(t *testing.T) { s.run(t, w) })
			}
			w.checkLog(t)
		})
	}
}

// step is one call of a script.
type step struct {
	name    string
	request []string
	status  int
	want    []string
}

func parseScript(t *testing.T, text string) []step {
	var steps []step
	var s *step
	for i, line := range strings.Split(text, "\n") {
		switch name, isStep := strings.CutPrefix(line, "=== "); {
		case isStep:
			steps = append(steps, step{name: name})
			s = &steps[len(steps)-1]
		case s == nil || s.status != 0 && (line == "" || strings.HasPrefix(line, "#")):
			if s == nil && line != "" && !strings.HasPrefix(line, "#") {
				t.Fatalf("line %d: outside of a step", i+1)
			}
		case s.status != 0:
			s.want = append(s.want, line)
		case strings.HasPrefix(line, "--- "):
			status, err := strconv.Atoi(line[4:])
			if err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
			s.status = status
		default:
			s.request = append(s.request, line)
		}
	}
	return steps
}

func (s *step) run(t *testing.T, w *world) {
	resp, body := s.send(t, w)
	if resp.StatusCode != s.status {
		t.Errorf("status %d, want %d\n%s", resp.StatusCode, s.status, body)
	}
	for _, want := range s.want {
		switch {
		case strings.HasPrefix(want, "~ "):
			if text := w.expand(want[2:]); !strings.Contains(string(body), text) {
				t.Errorf("body lacks %s\n%s", text, body)
			}
		case strings.HasPrefix(want, "? "):
			name, member, _ := strings.Cut(want[2:], " ")
			var members map[string]any
			if err := json.Unmarshal(body, &members); err != nil {
				t.Fatalf("%v\n%s", err, body)
			}
			w.vars[name] = fmt.Sprint(members[member])
		default:
			name, value, _ := strings.Cut(want, ":")
			checkHeader(t, resp.Header, name, w.expand(strings.TrimSpace(value)))
		}
	}
}

func checkHeader(t *testing.T, h http.Header, name, want string) {
	t.Helper()
	values, set := h[http.CanonicalHeaderKey(name)]
	got := strings.Join(values, " | ")
	prefix, isPrefix := strings.CutSuffix(want, "...")
	switch {
	case want == "-" && set:
		t.Errorf("%s: %q, want none", name, got)
	case want == "-":
	case !set:
		t.Errorf("%s is not set, want %q", name, want)
	case isPrefix && !strings.HasPrefix(got, prefix), !isPrefix && got != want:
		t.Errorf("%s: %q, want %q", name, got, want)
	}
}

// send writes the request as it stands, since a well-behaved client could not send most of them.
func (s *step) send(t *testing.T, w *world) (*http.Response, []byte) {
	t.Helper()
	head, body, _ := strings.Cut(strings.Join(s.request, "\n"), "\n\n")
	head, body = w.expand(head), w.expand(body)
	method, _, _ := strings.Cut(head, " ")
	lines := strings.Split(head, "\n")
	lines[0] += " HTTP/1.1"
	lines = append(lines, "Connection: close")
	if !strings.Contains(head, "\nHost:") {
		lines = append(lines, "Host: knell.test")
	}
	if strings.Contains(head, "\nTransfer-Encoding:") {
		body = strings.ReplaceAll(body, "\n", "\r\n")
	} else if !strings.Contains(head, "\nContent-Length:") {
		lines = append(lines, "Content-Length: "+strconv.Itoa(len(body)))
	}
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// The server may answer and close before it has read everything, so an error of writing says nothing.
	_, _ = io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"+body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	var got bytes.Buffer
	if _, err := got.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp, got.Bytes()
}

var (
	placeholder = regexp.MustCompile(`\{[^{}"]+\}`)
	repetition  = regexp.MustCompile(`^\{(.+)\*(\d+)\}$`)
	oneByte     = regexp.MustCompile(`^\{0x([0-9a-f]{2})\}$`)
)

// expand replaces placeholders; what is none stays.
func (w *world) expand(s string) string {
	return placeholder.ReplaceAllStringFunc(s, func(p string) string {
		if value, ok := w.vars[p[1:len(p)-1]]; ok {
			return value
		}
		if m := repetition.FindStringSubmatch(p); m != nil {
			n, _ := strconv.Atoi(m[2])
			return strings.Repeat(m[1], n)
		}
		if m := oneByte.FindStringSubmatch(p); m != nil {
			n, _ := strconv.ParseUint(m[1], 16, 8)
			return string([]byte{byte(n)})
		}
		return p
	})
}
