package httpapi

import (
	"bufio"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// Beginnings of requests, and one that ends a connection.
const (
	getHead     = "GET /livez HTTP/1.1\r\nHost: a\r\n"
	formHead    = "POST /token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	chunkedHead = formHead + "Transfer-Encoding: chunked\r\n"
	aliceHead   = "Authorization: Bearer {alice}"
	nextRequest = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
)

// framings are what is sent before nextRequest, and the statuses of all answers.
var framings = []struct{ name, sent, want string }{
	{"requests in a row", getHead + "\r\n", "200 404"},

	// Where does the body end?
	{"length and chunks", formHead + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
	{"chunks and a length", chunkedHead + "Content-Length: 60\r\n\r\n0\r\n\r\n", "400"},
	{"chunks", chunkedHead + "\r\n0\r\n\r\n", "400"},
	{"chunks in HTTP/1.0", "POST /token HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
	{"a coding that is not chunked", formHead + "Transfer-Encoding: gzip\r\n\r\nabc", "501"},
	{"two codings", formHead + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", "501"},
	{"a list of codings", formHead + "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", "501"},
	{"chunked, misspelt", formHead + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501"},
	{"chunked behind a vertical tab", formHead + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "400"},
	{"chunked before a NUL", formHead + "Transfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n", "400"},
	{"chunked, space before the colon", formHead + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400"},
	{"chunked on a folded line", formHead + "Transfer-Encoding:\r\n chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", "400"},
	{"chunked in another case", formHead + "Transfer-Encoding: CHUNKED\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", "400"},
	{"two lengths", formHead + "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde", "400"},
	{"a list of lengths", formHead + "Content-Length: 3, 3\r\n\r\nabc", "400"},
	{"a negative length", formHead + "Content-Length: -3\r\n\r\nabc", "400"},
	{"a length with a sign", formHead + "Content-Length: +3\r\n\r\nabc", "400"},
	{"a length in hex", formHead + "Content-Length: 0x3\r\n\r\nabc", "400"},
	{"a length beyond 64 bits", formHead + "Content-Length: 18446744073709551619\r\n\r\nabc", "400"},
	{"an empty length", formHead + "Content-Length:\r\n\r\n", "400"},
	{"a length with a space inside", formHead + "Content-Length: 1 0\r\n\r\n", "400"},

	// Chunks.
	{"a negative chunk", chunkedHead + "\r\n-3\r\nabc\r\n0\r\n\r\n", "400"},
	{"a chunk in hex with 0x", chunkedHead + "\r\n0x3\r\nabc\r\n0\r\n\r\n", "400"},
	{"a chunk beyond 64 bits", chunkedHead + "\r\nffffffffffffffffff\r\nabc\r\n0\r\n\r\n", "400"},
	{"a chunk longer than said", chunkedHead + "\r\n3\r\nabcd\r\n0\r\n\r\n", "400"},
	{"a line feed in a chunk's extension", chunkedHead + "\r\n3;x\nabc\r\n0\r\n\r\n", "400"},
	{"line feeds around chunks", chunkedHead + "\r\n3\nabc\n0\n\n", "400"},
	{"many extensions", chunkedHead + "\r\n" + strings.Repeat("1;"+strings.Repeat("x", 200)+"\r\na\r\n", 100) + "0\r\n\r\n", "400"},
	{"many trailers", chunkedHead + "\r\n0\r\n" + strings.Repeat("X-A: b\r\n", 3000) + "\r\n", "400"},
	{"a credential in a trailer", "POST /logout HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n0\r\n" + aliceHead + "\r\n\r\n", "401"},

	// Lines.
	{"line feeds alone", "GET /livez HTTP/1.1\nHost: a\n\n", "200 404"}, // RFC 9112 section 2.2 allows it
	{"carriage returns alone", "GET /livez HTTP/1.1\rHost: a\r\r", "400"},
	{"a carriage return in a value", getHead + "X-A: b\r" + aliceHead + "\r\n\r\n", "400"},
	{"a folded line is no header", "GET /profile HTTP/1.1\r\nHost: a\r\nX-A: b\r\n " + aliceHead + "\r\n\r\n", "401 404"},
	{"a folded line before any header", "GET /livez HTTP/1.1\r\n " + aliceHead + "\r\nHost: a\r\n\r\n", "400"},
	{"a header without a colon", getHead + "X-A\r\n\r\n", "400"},
	{"a header without a name", getHead + ": x\r\n\r\n", "400"},
	{"a space before the colon of a credential", "GET /profile HTTP/1.1\r\nHost: a\r\n" + strings.Replace(aliceHead, ":", " :", 1) + "\r\n\r\n", "400"},
	{"a header's name in UTF-8", getHead + "Authorizati\xc3\xb6n: x\r\n\r\n", "400"},
	{"an underscore for a hyphen", "GET /profile HTTP/1.1\r\nHost: a\r\nX_API_Key: x\r\n\r\n", "401 404"},
	{"NUL in a header", getHead + "X-A: b\x00c\r\n\r\n", "400"},
	{"headers without end", getHead + strings.Repeat("X-A: b\r\n", 3000) + "\r\n", "431"},
	{"a target without end", "GET /livez?" + strings.Repeat("a", 20000) + " HTTP/1.1\r\nHost: a\r\n\r\n", "431"},

	// Request lines.
	{"HTTP/0.9", "GET /livez\r\n\r\n", "400"},
	{"HTTP/1.0", "GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "200"},
	{"HTTP/1.10", "GET /livez HTTP/1.10\r\nHost: a\r\n\r\n", "400"},
	{"HTTP/2.0 in text", "GET /livez HTTP/2.0\r\nHost: a\r\n\r\n", "505"},
	{"the preface of HTTP/2 in text", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "405"},
	{"an upgrade to h2c", getHead + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", "200 404"},
	{"two spaces", "GET  /livez HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
	{"tabs", "GET\t/livez\tHTTP/1.1\r\nHost: a\r\n\r\n", "400"},
	{"a space in the target", "GET /livez /admin HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
	{"NUL in the method", "GE\x00T /livez HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
	{"NUL in the target", "GET /livez\x00 HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
	{"another host in the target", "GET http://evil.example/livez HTTP/1.1\r\nHost: a\r\n\r\n", "200 404"},
	{"a host as the target", "GET evil.example:80 HTTP/1.1\r\nHost: a\r\n\r\n", "404 404"},
	{"a tunnel", "CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example:80\r\n\r\n", "404 404"},
	{"TRACE", "TRACE /profile HTTP/1.1\r\nHost: a\r\n" + aliceHead + "\r\n\r\n", "405 404"},
	{"no host", "GET /livez HTTP/1.1\r\n\r\n", "400"},
	{"two hosts", getHead + "Host: b\r\n\r\n", "400"},
	{"a host with a path", "GET /livez HTTP/1.1\r\nHost: a/../b\r\n\r\n", "400"},
	{"a host with a user", "GET /livez HTTP/1.1\r\nHost: u@a\r\n\r\n", "400"},
	{"an expectation that nobody knows", formHead + "Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", "417"},
}

// TestFraming sends bytes to a server as serve makes it, each time with a request for /next behind them, and names the statuses of
// all answers until the server closes. 404 is that of /next: where a proxy could see the end of the first request elsewhere, or
// where there was none, it must not be among them.
func TestFraming(t *testing.T) {
	w := newWorld(t)
	for _, c := range framings {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn := impatient(t, w.handler)
			// The server may answer and close before it has read everything, so an error of writing says nothing.
			_, _ = io.WriteString(conn, w.expand(c.sent)+nextRequest)
			if got := strings.Join(statuses(conn), " "); got != c.want {
				t.Errorf("answered %s, want %s", got, c.want)
			}
		})
	}
}

// statuses returns the status of every answer until the server closes.
func statuses(conn io.Reader) (list []string) {
	answers := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			return list
		}
		list = append(list, strconv.Itoa(resp.StatusCode))
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return list
		}
		resp.Body.Close()
	}
}
