package password

import (
	"crypto/hmac"
	"crypto/sha256"
	"math/bits"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

func BenchmarkHash(b *testing.B) {
	h := New(Config{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Hash(b.Context(), "correct horse battery staple"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	h := New(Config{})
	bc, err := bcrypt.GenerateFromPassword([]byte("password"), 10)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct{ name, encoded string }{
		{"argon2id-19MiB-t2", phc{defaultParams, make([]byte, 16), make([]byte, 32)}.String()},
		{"argon2id-at-the-bound", argon2id("m=262144,t=3,p=1")},
		{"bcrypt-10", string(bc)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Verify(b.Context(), c.encoded, "password"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCheckEncoded(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := CheckEncoded(vectors[0].encoded); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBystander measures how long a piece of work of about 2 µs takes, on a goroutine that does nothing else,
// while 16 callers keep the default Hasher full. It stands for token verification. The bcrypt case allocates next to
// nothing, so what argon2id adds to it is the price of 19 MiB of new memory for each hash.
func BenchmarkBystander(b *testing.B) {
	for _, c := range []struct{ name, encoded string }{
		{"idle", ""},
		{"argon2id", phc{defaultParams, make([]byte, 16), make([]byte, 32)}.String()},
		{"argon2id-4-lanes", phc{Params{19456, 2, 4}, make([]byte, 16), make([]byte, 32)}.String()},
		{"bcrypt", goodBcrypt[:4] + "10" + goodBcrypt[6:]},
	} {
		b.Run(c.name, func(b *testing.B) {
			if c.encoded != "" {
				defer flood(b, New(Config{}), c.encoded)()
			}
			bystand(b)
		})
	}
}

// flood keeps h full until the function that it returns is called.
func flood(b *testing.B, h *Hasher, encoded string) (stop func()) {
	done := make(chan struct{})
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_, _ = h.Verify(b.Context(), encoded, "password")
				}
			}
		})
	}
	return func() { close(done); callers.Wait() }
}

// bystand times b.N pieces of work into a histogram with 16 buckets for each power of two.
func bystand(b *testing.B) {
	var count [1024]int
	var worst time.Duration
	var mac [32]byte
	key, data := make([]byte, 32), make([]byte, 2048)
	for b.Loop() {
		start := time.Now()
		h := hmac.New(sha256.New, key)
		h.Write(data)
		h.Sum(mac[:0])
		d := time.Since(start)
		worst = max(worst, d)
		shift := max(0, bits.Len64(uint64(d))-5)
		count[shift*16+int(d>>shift)]++
	}
	for _, q := range []struct {
		unit  string
		share float64
	}{{"p50-ns", 0.5}, {"p99-ns", 0.99}, {"p99.9-ns", 0.999}} {
		left := int(float64(b.N) * q.share)
		for i, n := range count {
			if left -= n; left < 0 {
				shift := max(0, i/16-1)
				b.ReportMetric(float64(uint64(i-shift*16)<<shift), q.unit)
				break
			}
		}
	}
	b.ReportMetric(float64(worst), "max-ns")
}
