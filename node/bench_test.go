package node

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
	"github.com/knell-auth/knell/internal/token"
)

// benchNode is one replica over a log in memory, with an OAuth client that gets tokens without a password hash.
func benchNode(b *testing.B) *Node {
	b.Helper()
	log := eventstest.New(b)
	n, err := Start(context.Background(), Config{
		Name: "a", Dir: b.TempDir(), Log: log.Node("a"), Issuer: "https://knell.test", Audience: "api", Password: cheap, CacheTokens: 1 << 21,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		n.Close(context.Background())
		log.Close()
	})
	benchClient(b, n)
	return n
}

func benchClient(b *testing.B, n *Node) {
	b.Helper()
	err := n.CreateClient(context.Background(), NewClient{ID: "svc", Secret: "svc-secret-0123456789", Scope: []string{"jobs"}}, Origin{})
	if err != nil {
		b.Fatal(err)
	}
}

// tokens returns count live tokens, made by some callers at once.
func tokens(b *testing.B, n *Node, count int) []string {
	b.Helper()
	list := make([]string, count)
	var next atomic.Int64
	var work sync.WaitGroup
	for range 32 {
		work.Go(func() {
			for i := next.Add(1) - 1; i < int64(count); i = next.Add(1) - 1 {
				tok, err := n.ClientToken(context.Background(), "svc", 0, nil, Origin{})
				if err != nil {
					b.Error(err)
					return
				}
				list[i] = tok.AccessToken
			}
		})
	}
	work.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return list
}

// BenchmarkVerify is the verification of a token that was seen before, at some numbers of live tokens. The floor is what no
// verification can do without: one keyed hash over the token and one reading of the clocks.
func BenchmarkVerify(b *testing.B) {
	for _, live := range []int{1, 10_000, 200_000} {
		b.Run(fmt.Sprintf("floor/%d", live), func(b *testing.B) {
			list := tokens(b, benchNode(b), live)
			gmac := must(cipher.NewGCM(must(aes.NewCipher(newKey()))(b)))(b)
			nonce, sum, key := make([]byte, 12), make([]byte, 0, 16), make([]byte, 0, token.MaxSize)
			clock := newClock(faultsOf("bench"))
			var sink time.Duration
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				gmac.Seal(sum, nonce, nil, append(key, list[i]...))
				sink += clock.read().Mono
				if i++; i == len(list) {
					i = 0
				}
			}
		})
		b.Run(fmt.Sprintf("known/%d", live), func(b *testing.B) {
			n := benchNode(b)
			list := tokens(b, n, live)
			ctx := context.Background()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := n.Verify(ctx, list[i]); err != nil {
					b.Fatal(err)
				}
				if i++; i == len(list) {
					i = 0
				}
			}
		})
	}
}

// BenchmarkFirstSeen compares the first verification of a token with its bare signature check, and with golang-jwt's.
func BenchmarkFirstSeen(b *testing.B) {
	n := benchNode(b)
	list := tokens(b, n, 4096)
	dot := strings.LastIndexByte(list[0], '.')
	signed, signature := []byte(list[0][:dot]), must(jwt.NewParser().DecodeSegment(list[0][dot+1:]))(b)
	public := ed25519.PublicKey(n.signing.with.Load().access.Key().Public())
	b.Run("ed25519", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !ed25519.Verify(public, signed, signature) {
				b.Fatal("bad signature")
			}
		}
	})
	b.Run("knell", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if i %= len(list); i == 0 {
				b.StopTimer()
				n.hot.cache = token.NewCache(1 << 17) // the one in use has seen them all
				b.StartTimer()
			}
			if _, err := n.Verify(context.Background(), list[i]); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
	b.Run("golang-jwt", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := jwt.Parse(list[0], func(*jwt.Token) (any, error) { return public, nil }, jwt.WithValidMethods([]string{"EdDSA"}))
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// must returns v, and fails the benchmark on an error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// loopWorkers is how many callers the closed loop has. The log commits in groups: with few callers the groups are small, and
// the loop waits for the disk most of the time.
const loopWorkers = 4096

// BenchmarkLogout compares a complete logout on three embedded, synced replicas with a bare synced publish to the same
// stream, one at a time and in turn, and counts logouts a second in a closed loop.
func BenchmarkLogout(b *testing.B) {
	nodes := embedded(b, 3)
	benchClient(b, nodes[0].Node)
	ctx := context.Background()
	b.Run("latency", func(b *testing.B) {
		list := tokens(b, nodes[0].Node, b.N)
		var logout, publish []time.Duration
		b.ResetTimer()
		for i, tok := range list {
			n := nodes[i%len(nodes)]
			began := time.Now()
			if err := n.Logout(ctx, tok, Origin{}); err != nil {
				b.Fatal(err)
			}
			middle := time.Now()
			e := n.newEvent(&events.LoginFailed{Cause: "bench"}, "bench", Origin{})
			if _, err := n.log.Append(ctx, e); err != nil {
				b.Fatal(err)
			}
			logout, publish = append(logout, middle.Sub(began)), append(publish, time.Since(middle))
		}
		b.StopTimer()
		report(b, "logout", logout)
		report(b, "publish", publish)
	})
	b.Run("closed-loop/publish", func(b *testing.B) {
		closedLoop(b, nodes, func(n *replica, _ int) error {
			_, err := n.log.Append(ctx, n.newEvent(&events.LoginFailed{Cause: "bench"}, "bench", Origin{}))
			return err
		})
	})
	b.Run("closed-loop/logout", func(b *testing.B) {
		list := tokens(b, nodes[0].Node, b.N)
		closedLoop(b, nodes, func(n *replica, i int) error { return n.Logout(ctx, list[i], Origin{}) })
	})
}

// closedLoop carries out b.N operations by loopWorkers callers, and reports how many a second.
func closedLoop(b *testing.B, nodes []*replica, do func(n *replica, i int) error) {
	var next atomic.Int64
	var work sync.WaitGroup
	b.ResetTimer()
	for w := range loopWorkers {
		work.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				if err := do(nodes[w%len(nodes)], int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// report adds the median and the 99th percentile of list, in microseconds.
func report(b *testing.B, what string, list []time.Duration) {
	slices.Sort(list)
	b.ReportMetric(float64(list[len(list)/2].Nanoseconds())/1e3, what+"-p50-µs")
	b.ReportMetric(float64(list[len(list)*99/100].Nanoseconds())/1e3, what+"-p99-µs")
}
