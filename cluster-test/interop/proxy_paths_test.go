//go:build interop

package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"
)

// spellings: however a path is written, the service gets no request that it could read as one whose demand was not met.
func spellings(t *testing.T, p *proxy) {
	alice, bob, root := p.login("alice"), p.login("bob"), p.login("root")
	for _, target := range []string{
		"/admin", "/admin/", "/admin/x", "/admin?x", "/%61dmin/x", "//admin/x", "/./admin/x", "/x/../admin/x", "/admin%2fx", "/x/%2e%2e/admin/x",
		"/x/..%2fadmin/x", "/admin;x/y", "/admin%00", "/admin%5cx", "/%2561dmin/x", "/ADMIN/x", "/admin/../notes/..;/admin", "http:admin/x",
	} {
		if status, seen := p.raw(target, alice); status != 400 && status != 403 {
			t.Errorf("alice: %s: %d, the service saw %q", target, status, seen.Target)
		}
	}
	for _, target := range []string{"/admin", "/admin/", "/admin/x", "/%61dmin/x", "/admin/x%20y?q=a/../b&c=%2f"} {
		if status, seen := p.raw(target, root); status != 200 || !reads(seen.Target, "admin") {
			t.Errorf("root: %s: %d, the service saw %q", target, status, seen.Target)
		} else if _, query, _ := strings.Cut(target, "?"); !strings.HasSuffix(seen.Target, query) {
			t.Errorf("the query %q became %q", query, seen.Target)
		}
	}
	p.expect(403, "GET", "/notes", bob)
	p.expect(200, "GET", "/administrator", bob)
	p.expect(200, "GET", "/a%20b/%C3%A9%22%0d%0aX-Knell-Roles:%20admin", bob)

	for _, c := range []struct{ area, token string }{{"admin", alice}, {"notes", bob}} {
		targets, served, began := variants(c.area, p.base), 0, time.Now()
		for _, target := range targets {
			if status, seen := p.raw(target, c.token); status == 200 {
				served++
				if reads(seen.Target, c.area) {
					t.Errorf("%s was let through, and the service saw %s", target, seen.Target)
				}
			} else if status/100 != 4 && status/100 != 3 {
				t.Errorf("%s: %d", target, status)
			}
		}
		t.Logf("%s: %d spellings, %d served, in %v", c.area, len(targets), served, time.Since(began))
	}
}

// variants are request targets in which somebody may read the area: each way to begin one, to write its name, and to go on.
func variants(area, base string) []string {
	var all []string
	for _, before := range []string{
		"/", "//", "/./", "/../", "/x/../", "/%2e/", "/%2E%2e/", "/x/%2e%2e/", "/x/..%2f", "/x%2f../", "/%2f", "/%5c", `/\`, `/x\..\`,
		"/x//../../", "/;/", "/x;/../", "/.;/", "/notes/../", "/admin/../", "/token/../", base + "/", base + "//", "http:", "", "/%00/", "/%",
		"/x/..%252f", "/?/",
	} {
		for _, name := range []string{
			area, strings.ToUpper(area), fmt.Sprintf("%%%02x%s", area[0], area[1:]), fmt.Sprintf("%%25%02x%s", area[0], area[1:]),
			area[:4] + fmt.Sprintf("%%%02X", area[4]),
		} {
			for _, after := range []string{
				"", "/", "/x", "//x", "/.", "/./x", "/..", "/../x", "/..%2fx", "/%2e%2e/x", "/..;/x", "%2fx", "%2F", "%5cx", `\x`, ";x", ";x/y", "%3bx",
				"%00", "#x", "?x", "%3fx", "%23x", "%0a", "%20", "/%zz", "%", "/x%2f..%2f..%2fy",
			} {
				all = append(all, before+name+after)
			}
		}
	}
	return all
}

var parameters = regexp.MustCompile(`;[^/]*`)

// reads reports whether some service may read a request target as one in the area: as it is or decoded, once or twice; with
// parameters or without; with backslashes for slashes; cleaned or by its beginning; in any case; up to a NUL or a #.
func reads(target, area string) bool {
	p, _, _ := strings.Cut(target, "?")
	if u, err := url.Parse(p); err == nil && u.Host != "" && u.Scheme != "" {
		p = u.EscapedPath()
	}
	for range 3 {
		plain, _, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(p, `\`, "/")), "\x00")
		plain, _, _ = strings.Cut(plain, "#")
		for _, one := range []string{plain, parameters.ReplaceAllString(plain, "")} {
			for _, begins := range []string{path.Clean("/" + one), "/" + strings.TrimLeft(one, "/")} {
				if strings.HasPrefix(begins+"/", "/"+area+"/") {
					return true
				}
			}
		}
		decoded, err := url.PathUnescape(p)
		if err != nil {
			break
		}
		p = decoded
	}
	return false
}

// raw sends a GET with a request target as it is.
func (p *proxy) raw(target string, headers ...string) (int, echo) {
	p.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.base, "http://"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n\r\n",
		target, conn.RemoteAddr(), strings.Join(headers, "\r\n"))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		p.t.Fatalf("%s: %v", target, err)
	}
	defer resp.Body.Close()
	var e echo
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(&e); err != nil {
			p.t.Errorf("%s: %v", target, err)
		}
	}
	return resp.StatusCode, e
}
