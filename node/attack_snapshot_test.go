package node

import (
	"crypto/sha256"
	"math/rand/v2"
	"testing"
)

// A snapshot that somebody has written by hand, with the right hash, is read or refused, and nothing else happens: bytes are changed,
// left out, put twice, and replaced by the greatest number.
func TestHostileSnapshots(t *testing.T) {
	a := newAuthor(5)
	for range 600 {
		a.apply(a.next())
	}
	whole, _, err := a.s.encode()
	if err != nil {
		t.Fatal(err)
	}
	head, end := len(snapshotKind)+1, len(whole)-sha256.Size
	random := rand.New(rand.NewPCG(5, 5))
	read, refused := 0, 0
	for i := range 300 {
		data := append([]byte(nil), whole[:end]...)
		at := head + random.IntN(end-head)
		switch length := random.IntN(12); i % 4 {
		case 0:
			data[at] = byte(random.Uint32())
		case 1:
			data = append(data[:at], data[min(at+length, end):]...)
		case 2:
			data = append(data[:min(at+length, end)], data[at:]...)
		case 3: // the greatest number that there is
			data = append(append(append([]byte(nil), data[:at]...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), data[at:]...)
		}
		hash := sha256.Sum256(data)
		s, _, err := decode(append(data, hash[:]...))
		if err != nil {
			refused++
			continue
		}
		read++
		if _, _, err := s.encode(); err != nil {
			t.Errorf("%d: what was read cannot be written: %v", i, err)
		}
	}
	if read == 0 || refused == 0 {
		t.Errorf("%d were read, %d refused", read, refused)
	}
}
