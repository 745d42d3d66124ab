package httpapi

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Types and flags of frames (RFC 9113 section 6).
const (
	frameData, frameHeaders, frameReset, frameSettings, frameGoAway, frameWindow, frameMore = 0, 1, 3, 4, 7, 8, 9
	endStream, endHeaders                                                                   = 1, 4
)

// frame returns one frame of HTTP/2.
func frame(kind, flags byte, stream uint32, payload ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	return append(binary.BigEndian.AppendUint32(append(b, flags), stream), payload...)
}

// fields returns a header block (RFC 7541 section 6.2.2) of names and values, which may be anything.
func fields(pairs ...string) (b []byte) {
	for i, s := range pairs {
		if i%2 == 0 {
			b = append(b, 0) // literal, not indexed, with a new name
		}
		n := len(s) // as an integer with a prefix of seven bits
		if n < 127 {
			b = append(b, byte(n))
		} else {
			b = binary.AppendUvarint(append(b, 127), uint64(n-127))
		}
		b = append(b, s...)
	}
	return b
}

// asked returns the fields of a good request, with more behind them.
func asked(method, path string, more ...string) []byte {
	return fields(append([]string{":method", method, ":scheme", "https", ":authority", "a", ":path", path}, more...)...)
}

// request is a frame with all that there is of a request.
func headersFrame(stream uint32, block []byte) []byte {
	return frame(frameHeaders, endStream|endHeaders, stream, block...)
}

// times returns what f makes, one after the other.
func times(n uint32, f func(i uint32) []byte) (b []byte) {
	for i := range n {
		b = append(b, f(i)...)
	}
	return b
}

// exchange is what is sent after the preface, and what becomes of it.
type exchange struct {
	name   string
	frames []byte
	want   string
}

// http2Attacks returns what is sent; bearer is a good credential.
func http2Attacks(bearer string) []exchange {
	const (
		ok, bad, tooLarge                    = "200", "400", "431"
		protocol, refused, compression, calm = 1, 7, 9, 11
	)
	reset := func(code int) string { return fmt.Sprint("reset ", code) }
	gone := func(code int) string { return fmt.Sprint("gone ", code) }
	form := []string{"content-type", "application/x-www-form-urlencoded"}
	body := func(block []byte, data string) []byte {
		return append(frame(frameHeaders, endHeaders, 1, block...), frame(frameData, endStream, 1, []byte(data)...)...)
	}
	return []exchange{
		{"a request", headersFrame(1, asked("GET", "/verify", "authorization", bearer)), ok},
		{"chunked", headersFrame(1, asked("GET", "/livez", "transfer-encoding", "chunked")), bad},
		{"a header for one connection", headersFrame(1, asked("GET", "/livez", "connection", "authorization")), bad},
		{"an upgrade", headersFrame(1, asked("GET", "/livez", "upgrade", "websocket")), bad},
		{"a header's name in capital letters", headersFrame(1, asked("GET", "/verify", "Authorization", bearer)), reset(protocol)},
		{"a header's name with a space", headersFrame(1, asked("GET", "/verify", "authorization ", bearer)), reset(protocol)},
		{"a header's name with a colon", headersFrame(1, asked("GET", "/verify", "x:authorization", bearer)), reset(protocol)},
		{"a header without a name", headersFrame(1, asked("GET", "/verify", "", bearer)), reset(protocol)},
		{"a line break in a value", headersFrame(1, asked("GET", "/verify", "x-a", "b\r\nauthorization: "+bearer)), reset(protocol)},
		{"a line feed in a value", headersFrame(1, asked("GET", "/verify", "x-a", "b\nauthorization: "+bearer)), reset(protocol)},
		{"NUL in a value", headersFrame(1, asked("GET", "/verify", "x-a", "b\x00")), reset(protocol)},
		{"a line break in the path", headersFrame(1, asked("GET", "/livez HTTP/1.1\r\nauthorization: "+bearer)), reset(protocol)},
		{"a line break in the method", headersFrame(1, asked("GET /verify HTTP/1.1\r\nx: ", "/livez")), reset(protocol)},
		{"a path that is none", headersFrame(1, asked("GET", "livez")), reset(protocol)},
		{"no path", headersFrame(1, fields(":method", "GET", ":scheme", "https", ":authority", "a")), reset(protocol)},
		{"two paths", headersFrame(1, asked("GET", "/livez", ":path", "/admin")), reset(protocol)},
		{"a path behind headers", headersFrame(1, fields(":method", "GET", ":scheme", "https", "x-a", "b", ":path", "/livez")), reset(protocol)},
		{"a status in a request", headersFrame(1, asked("GET", "/livez", ":status", "200")), reset(protocol)},
		{"a tunnel with a protocol", headersFrame(1, asked("CONNECT", "/verify", ":protocol", "websocket")), reset(protocol)},
		{"a host with a user", headersFrame(1, fields(":method", "GET", ":scheme", "https", ":authority", "u@a", ":path", "/livez")), reset(protocol)},
		{"two credentials", headersFrame(1, asked("GET", "/verify", "authorization", bearer, "authorization", bearer)), bad},
		{"a credential in a trailer", append(frame(frameHeaders, endHeaders, 1, asked("POST", "/slow", "trailer", "authorization")...),
			headersFrame(1, fields("authorization", bearer))...), reset(protocol)},
		{"a body longer than said", body(asked("POST", "/token", append(form, "content-length", "3")...), "abcdef"), reset(protocol)},
		{"a body shorter than said", body(asked("POST", "/token", append(form, "content-length", "30")...), "abc"), bad},
		{"a body where none was said", body(asked("POST", "/slow", append(form, "content-length", "0")...), "grant_type=x"), reset(protocol)},
		{"a header without end", headersFrame(1, asked("GET", "/livez", "x-a", strings.Repeat("b", 16300))), gone(compression)},
		{"headers without end", headersFrame(1, append(asked("GET", "/livez"), bytes.Repeat(fields("x-a", "b"), 2000)...)), tooLarge},
		{"frames of headers without end", append(frame(frameHeaders, endStream, 1, asked("GET", "/livez")...), times(2000, func(uint32) []byte {
			return frame(frameMore, 0, 1, fields("x-a", strings.Repeat("b", 100))...)
		})...), gone(protocol)},
		{"a stream of the server's", headersFrame(2, asked("GET", "/livez")), gone(protocol)},
		{"a stream that is none", headersFrame(0, asked("GET", "/livez")), gone(protocol)},
		{"a body of nothing", frame(frameData, endStream, 1, 'a'), gone(protocol)},
		{"a window of nothing", append(frame(frameHeaders, endHeaders, 1, asked("POST", "/slow")...), frame(frameWindow, 0, 1, 0, 0, 0, 0)...), reset(protocol)},
		{"requests that are taken back at once", times(2000, func(i uint32) []byte {
			return append(headersFrame(2*i+1, asked("GET", "/slow")), frame(frameReset, 0, 2*i+1, 0, 0, 0, 8)...)
		}), gone(calm)},
		{"more requests than at a time", times(150, func(i uint32) []byte { return headersFrame(2*i+1, asked("GET", "/slow")) }), reset(refused)},
	}
}

// TestHTTP2 sends frames to the server as serve makes it, over TLS. What comes of the stream, or of the connection, is an answer, whose
// status is in the first bytes of its header block, a reset or an end, with an error of RFC 9113 section 7.
func TestHTTP2(t *testing.T) {
	w := newWorld(t)
	for _, c := range http2Attacks("Bearer " + w.vars["alice"]) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn := overHTTP2(t, w.handler)
			// The server may end the connection before it has read everything, so an error of writing says nothing.
			go func() { _, _ = conn.Write(c.frames) }()
			if got := becomes(conn); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// overHTTP2 returns a connection to h on which HTTP/2 has begun. /slow answers when the test ends.
func overHTTP2(t *testing.T, h http.Handler) *tls.Conn {
	t.Helper()
	end := make(chan struct{})
	s := httptest.NewUnstartedServer(nil)
	s.Config = Server("", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-end
			return
		}
		h.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(func() {
		close(end)
		s.Close()
	})
	conn, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write(append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(frameSettings, 0, 0)...)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// becomes reads frames until one says what becomes of what was sent.
func becomes(conn *tls.Conn) string {
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		var head [9]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return err.Error()
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(conn, payload); err != nil {
			return err.Error()
		}
		switch head[3] {
		case frameHeaders:
			return status(payload)
		case frameReset:
			return fmt.Sprint("reset ", binary.BigEndian.Uint32(payload))
		case frameGoAway:
			return fmt.Sprint("gone ", binary.BigEndian.Uint32(payload[4:]))
		}
	}
}

// status returns the status at the beginning of a header block: from the table of RFC 7541 appendix A, or as three digits.
func status(block []byte) string {
	switch {
	case block[0] == 0x88:
		return "200"
	case block[0] == 0x8c:
		return "400"
	case block[0]>>6 == 1 && block[1] == 3: // a name of the table, and its value
		return string(block[2:5])
	}
	return fmt.Sprintf("answer % x", block[:min(len(block), 6)])
}
