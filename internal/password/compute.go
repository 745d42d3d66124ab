package password

import (
	"errors"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// question asks for the slow function that Encoded names, with its costs and salt, of Password.
type question struct {
	Encoded  string // as CheckEncoded accepts it; of the hash in it only bcrypt's is looked at, of the others the length alone
	Password []byte
}

// lanes is how many processors the function can use.
func (q question) lanes() int {
	if p, err := parsePHC(q.Encoded); err == nil {
		return int(p.Lanes)
	}
	return 1
}

// answer is what the function gives. Its zero value matches nothing.
type answer struct {
	Key     []byte // not for bcrypt
	Matches bool   // for bcrypt
	Defect  bool   // the function refused its arguments
}

// compute answers q on the caller's goroutine. The password is taken as it is.
func compute(q question) answer {
	switch {
	case strings.HasPrefix(q.Encoded, argon2idPrefix):
		p, err := parsePHC(q.Encoded)
		if err != nil {
			return answer{Defect: true}
		}
		return answer{Key: argon2.IDKey(q.Password, p.salt, p.Time, p.MemoryKiB, p.Lanes, uint32(len(p.key)))}
	case isImported(q.Encoded):
		im, err := parseImported(q.Encoded)
		if err != nil {
			return answer{Defect: true}
		}
		key, err := im.derive(string(q.Password), im.salt, len(im.key))
		return answer{Key: key, Defect: err != nil}
	}
	err := bcrypt.CompareHashAndPassword([]byte(q.Encoded), q.Password)
	return answer{Matches: err == nil, Defect: err != nil && !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword)}
}
