package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/knell-auth/knell/internal/metrics"
)

// emptyChi is what /verify is compared with: the router, and a handler that does nothing.
func emptyChi() http.Handler {
	r := chi.NewRouter()
	r.Get("/verify", func(http.ResponseWriter, *http.Request) {})
	return r
}

// BenchmarkVerify measures GET /verify beside an empty chi handler, in process: what the decision costs without the network.
func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	few, many := w.tokens(b, 1), w.tokens(b, 10_000)
	b.Run("empty chi", func(b *testing.B) { benchInProcess(b, emptyChi(), few) })
	b.Run("empty chi, 10000 tokens", func(b *testing.B) { benchInProcess(b, emptyChi(), many) })
	b.Run("one token", func(b *testing.B) { benchInProcess(b, w.handler, few) })
	b.Run("10000 tokens", func(b *testing.B) { benchInProcess(b, w.handler, many) })
	metered := New(w.node, Config{Logger: slog.New(slog.DiscardHandler), Meter: metrics.New(metrics.Config{})})
	b.Run("one token, metered", func(b *testing.B) { benchInProcess(b, metered, few) })
	key := w.keys(b, 1)
	b.Run("API key", func(b *testing.B) { benchInProcess(b, w.handler, key) })
}

// BenchmarkVerifyBasic measures GET /verify with a user name and a password that were verified before.
func BenchmarkVerifyBasic(b *testing.B) {
	w := newWorld(b, withBasic)
	r := httptest.NewRequest("GET", "/verify", nil)
	r.SetBasicAuth("alice", passwords["alice"])
	benchRequests(b, w.handler, []*http.Request{r})
}

func benchInProcess(b *testing.B, h http.Handler, tokens []string) {
	requests := make([]*http.Request, len(tokens))
	for i, token := range tokens {
		requests[i] = httptest.NewRequest("GET", "/verify", nil)
		requests[i].Header.Set("Authorization", "Bearer "+token)
	}
	benchRequests(b, h, requests)
}

func benchRequests(b *testing.B, h http.Handler, requests []*http.Request) {
	w := newDiscard()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		clear(w.h)
		h.ServeHTTP(w, requests[i%len(requests)])
		if w.status != 0 {
			b.Fatalf("status %d", w.status)
		}
	}
}

// BenchmarkIntrospect measures POST /introspect, asked by a confidential client, beside an empty chi handler, in process.
func BenchmarkIntrospect(b *testing.B) {
	w := newWorld(b)
	empty := chi.NewRouter()
	empty.Post("/introspect", func(http.ResponseWriter, *http.Request) {})
	few, many := w.tokens(b, 1), w.tokens(b, 10_000)
	basic := w.vars["svc-basic"]
	b.Run("empty chi", func(b *testing.B) { benchIntrospect(b, empty, basic, few) })
	b.Run("one token", func(b *testing.B) { benchIntrospect(b, w.handler, basic, few) })
	b.Run("10000 tokens", func(b *testing.B) { benchIntrospect(b, w.handler, basic, many) })
	b.Run("not active", func(b *testing.B) { benchIntrospect(b, w.handler, basic, []string{"45ghiukldjahdnhzdauz"}) })
}

func benchIntrospect(b *testing.B, h http.Handler, basic string, tokens []string) {
	bodies := make([]*strings.Reader, len(tokens))
	requests := make([]*http.Request, len(tokens))
	for i, token := range tokens {
		bodies[i] = strings.NewReader("token=" + token)
		requests[i] = httptest.NewRequest("POST", "/introspect", bodies[i])
		requests[i].Header.Set("Authorization", "Basic "+basic)
		requests[i].Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := newDiscard()
	b.ReportAllocs()
	before := cpuTime(b)
	for i := 0; b.Loop(); i++ {
		clear(w.h)
		n := i % len(requests)
		bodies[n].Seek(0, io.SeekStart)
		requests[n].Body = io.NopCloser(bodies[n])
		h.ServeHTTP(w, requests[n])
		if w.status != 0 {
			b.Fatalf("status %d", w.status)
		}
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkVerifyLoopback is the same over TCP on loopback with 16 connections a processor. cpu-ns/op is what client and
// server together took of the processors: unlike the time, it hardly depends on what else the machine does.
func BenchmarkVerifyLoopback(b *testing.B) {
	w := newWorld(b)
	few, many := w.tokens(b, 1), w.tokens(b, 10_000)
	b.Run("empty chi", func(b *testing.B) { benchLoopback(b, emptyChi(), few) })
	b.Run("empty chi, 10000 tokens", func(b *testing.B) { benchLoopback(b, emptyChi(), many) })
	b.Run("one token", func(b *testing.B) { benchLoopback(b, w.handler, few) })
	b.Run("10000 tokens", func(b *testing.B) { benchLoopback(b, w.handler, many) })
}

func benchLoopback(b *testing.B, h http.Handler, tokens []string) {
	address := serve(b, h)
	requests := make([][]byte, len(tokens))
	for i, token := range tokens {
		requests[i] = fmt.Appendf(nil, "GET /verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", token)
	}
	var next atomic.Int64
	b.SetParallelism(16)
	before := cpuTime(b)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		answers := bufio.NewReader(conn)
		for pb.Next() {
			_, err := conn.Write(requests[int(next.Add(1))%len(requests)])
			if err == nil {
				err = readAccept(answers)
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// cpuTime returns what this process has taken of the processors.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// readAccept reads one answer, which must be a 200 without a body.
func readAccept(r *bufio.Reader) error {
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case first && string(line) != "HTTP/1.1 200 OK\r\n":
			return fmt.Errorf("%w: %s", io.ErrUnexpectedEOF, line)
		case len(line) == 2:
			return nil
		}
	}
}
