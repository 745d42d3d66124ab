package password

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// Bounds of what is accepted as a stored hash. They hold for imported hashes above all: whoever writes an import file must
// not be able to make each login cost seconds or gigabytes. On one core of the reference machine the dearest argon2id
// costs about as much as the dearest bcrypt, a little under 1 s.
const (
	maxEncodedBytes = 256 // the longest argon2id string within the other bounds has 213

	minMemoryKiB = 8         // for each lane; RFC 9106 section 3.1
	maxMemoryKiB = 256 << 10 // 256 MiB
	maxTime      = 64
	maxLanes     = 16
	maxPassesKiB = 768 << 10 // memory times passes: 256 MiB 3 times, 64 MiB 12 times, 12 MiB 64 times

	minSaltBytes = 8 // RFC 9106 section 3.1
	maxSaltBytes = 64
	minKeyBytes  = 16
	maxKeyBytes  = 64

	minBcryptCost = 4
	maxBcryptCost = 14
)

const (
	argon2idPrefix = "$argon2id$"
	bcryptAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	bcryptBytes    = 60 // $2b$NN$, 22 of salt, 31 of hash
)

// phcBase64 is the encoding of salt and hash in a PHC string: no padding, no stray bits. It skips line breaks, which
// parsePHC therefore refuses first.
var phcBase64 = base64.RawStdEncoding.Strict()

// CheckEncoded returns nil if Verify can check encoded, and otherwise an error that wraps ErrMalformed and tells what is
// wrong without quoting it. Accepted are argon2id PHC strings of version 19 with parameters in the order m, t, p; bcrypt as
// $2a$, $2b$ and $2y$ (not $2x$, which marks a broken implementation); scrypt as $scrypt$ln=..,r=..,p=..$; PBKDF2 with SHA-256
// or SHA-512 as $pbkdf2-sha256$i=..$ and as passlib writes it, and with SHA-256 as Django does. Bounds: argon2id up to 256 MiB,
// 64 passes, 768 MiB for memory times passes and 16 lanes; bcrypt cost 4 to 14; scrypt up to 256 MiB for memory and for memory
// times p; PBKDF2 up to 4,000,000 rounds of SHA-256 and 2,000,000 of SHA-512; salt of 8 to 64 bytes, hash of 16 to 64 bytes.
// It does not hash, and its work is bounded whatever the length of encoded.
func CheckEncoded(encoded string) error {
	if strings.HasPrefix(encoded, argon2idPrefix) {
		_, err := parsePHC(encoded)
		return err
	}
	if isImported(encoded) {
		_, err := parseImported(encoded)
		return err
	}
	return checkBcrypt(encoded)
}

// phc is a decoded argon2id PHC string. Its format:
// https://github.com/P-H-C/phc-string-format/blob/master/phc-sf-spec.md
type phc struct {
	Params
	salt, key []byte
}

// String returns p encoded.
func (p phc) String() string {
	return fmt.Sprintf("%sv=19$m=%d,t=%d,p=%d$%s$%s", argon2idPrefix, p.MemoryKiB, p.Time, p.Lanes,
		phcBase64.EncodeToString(p.salt), phcBase64.EncodeToString(p.key))
}

func parsePHC(encoded string) (phc, error) {
	if len(encoded) > maxEncodedBytes {
		return phc{}, malformed("longer than %d bytes", maxEncodedBytes)
	}
	if strings.ContainsAny(encoded, "\r\n") {
		return phc{}, malformed("a line break")
	}
	// "", argon2id, version, costs, salt, hash
	part := strings.Split(encoded, "$")
	if len(part) != 6 {
		return phc{}, malformed("argon2id: not 5 parts")
	}
	if part[2] != "v=19" {
		return phc{}, malformed("argon2id: version is not 19")
	}
	params, err := parseCosts(part[3])
	if err != nil {
		return phc{}, err
	}
	p := phc{Params: params}
	if p.salt, err = phcBase64.DecodeString(part[4]); err != nil {
		return phc{}, malformed("argon2id: salt is not unpadded base64")
	}
	if p.key, err = phcBase64.DecodeString(part[5]); err != nil {
		return phc{}, malformed("argon2id: hash is not unpadded base64")
	}
	if n := len(p.salt); n < minSaltBytes || n > maxSaltBytes {
		return phc{}, malformed("argon2id: salt is not of %d to %d bytes", minSaltBytes, maxSaltBytes)
	}
	if n := len(p.key); n < minKeyBytes || n > maxKeyBytes {
		return phc{}, malformed("argon2id: hash is not of %d to %d bytes", minKeyBytes, maxKeyBytes)
	}
	return p, nil
}

// parseCosts parses m=..,t=..,p=.. and checks the bounds.
func parseCosts(s string) (Params, error) {
	cost, err := costs("argon2id", s, "m=", "t=", "p=")
	if err != nil {
		return Params{}, err
	}
	if cost[2] > maxLanes { // before the conversion, which would wrap
		return Params{}, malformed("argon2id: lanes not within 1 to %d", maxLanes)
	}
	p := Params{MemoryKiB: uint32(cost[0]), Time: uint32(cost[1]), Lanes: uint8(cost[2])}
	return p, p.check()
}

// check returns an error if p, with no defaults filled in, is out of bounds.
func (p Params) check() error {
	if p.Lanes < 1 || p.Lanes > maxLanes {
		return malformed("argon2id: lanes not within 1 to %d", maxLanes)
	}
	if p.MemoryKiB < minMemoryKiB*uint32(p.Lanes) || p.MemoryKiB > maxMemoryKiB {
		return malformed("argon2id: memory not within %d for each lane and %d KiB", minMemoryKiB, maxMemoryKiB)
	}
	if p.Time < 1 || p.Time > maxTime {
		return malformed("argon2id: passes not within 1 to %d", maxTime)
	}
	if p.work() > maxPassesKiB {
		return malformed("argon2id: memory times passes above %d KiB", maxPassesKiB)
	}
	return nil
}

// work is the memory in KiB that a hash writes.
func (p Params) work() uint64 { return uint64(p.MemoryKiB) * uint64(p.Time) }

// weakerThan reports whether p costs an attacker less than a new hash with want: less memory, less memory written, or
// a shorter salt or hash. More memory with fewer passes counts as equal if it writes as much; what is stronger is kept.
func (p phc) weakerThan(want Params) bool {
	return p.MemoryKiB < want.MemoryKiB || p.work() < want.work() || len(p.salt) < saltBytes || len(p.key) < keyBytes
}

// checkBcrypt accepts exactly what bcrypt.CompareHashAndPassword reads as intended. That function alone accepts any
// version letter, any separators, a longer string, and line breaks inside the salt.
func checkBcrypt(encoded string) error {
	if len(encoded) < 4 || encoded[:2] != "$2" || encoded[3] != '$' || !strings.Contains("aby", encoded[2:3]) {
		return malformed("neither argon2id, bcrypt, scrypt nor PBKDF2 in a form that is accepted")
	}
	if len(encoded) != bcryptBytes {
		return malformed("bcrypt: not of %d bytes", bcryptBytes)
	}
	tens, ones := encoded[4]-'0', encoded[5]-'0'
	if tens > 9 || ones > 9 || encoded[6] != '$' {
		return malformed("bcrypt: cost is not 2 digits")
	}
	if cost := tens*10 + ones; cost < minBcryptCost || cost > maxBcryptCost {
		return malformed("bcrypt: cost not within %d to %d", minBcryptCost, maxBcryptCost)
	}
	if strings.ContainsFunc(encoded[7:], func(r rune) bool { return !strings.ContainsRune(bcryptAlphabet, r) }) {
		return malformed("bcrypt: salt or hash is not bcrypt's base64")
	}
	// 31 characters hold 186 bits, the hash 184. With stray bits in the last one no password would ever match. Stray bits
	// in the salt are harmless, and some libraries write them.
	if strings.IndexByte(bcryptAlphabet, encoded[bcryptBytes-1])&3 != 0 {
		return malformed("bcrypt: stray bits at the end of the hash")
	}
	return nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}
