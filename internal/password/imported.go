package password

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"strconv"
	"strings"

	"golang.org/x/crypto/scrypt"
)

// Bounds of the kinds that are accepted and never made. None costs more than the dearest argon2id (BenchmarkDearest).
const (
	maxScryptKiB    = 256 << 10 // 128 bytes times N times r
	maxScryptWork   = 256 << 10 // the same times p
	maxScryptLogN   = 21
	maxScryptFactor = 64 // of r and of p

	maxRoundsSHA256 = 4_000_000 // times the blocks of the key
	maxRoundsSHA512 = 2_000_000
)

const (
	scryptPrefix = "$scrypt$"
	pbkdf2Prefix = "$pbkdf2-"
	djangoPrefix = "pbkdf2_sha256$"
)

// ab64 is the base64 of passlib's PBKDF2 strings.
var ab64 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./").WithPadding(base64.NoPadding).Strict()

// imported is a decoded hash of such a kind.
type imported struct {
	salt, key []byte
	derive    func(password string, salt []byte, keyLength int) ([]byte, error)
}

// isImported reports whether encoded begins like a hash of such a kind.
func isImported(encoded string) bool {
	return strings.HasPrefix(encoded, scryptPrefix) || strings.HasPrefix(encoded, pbkdf2Prefix) || strings.HasPrefix(encoded, djangoPrefix)
}

// parseImported decodes a string of which isImported is true, within the bounds.
func parseImported(encoded string) (imported, error) {
	if len(encoded) > maxEncodedBytes {
		return imported{}, malformed("longer than %d bytes", maxEncodedBytes)
	}
	if strings.ContainsAny(encoded, "\r\n") { // base64 would skip them
		return imported{}, malformed("a line break")
	}
	var im imported
	var err error
	switch {
	case strings.HasPrefix(encoded, scryptPrefix):
		im, err = parseScrypt(encoded)
	case strings.HasPrefix(encoded, pbkdf2Prefix):
		im, err = parsePBKDF2(encoded)
	default:
		im, err = parseDjango(encoded)
	}
	if err != nil {
		return imported{}, err
	}
	return im, nil
}

// parseScrypt decodes $scrypt$ln=16,r=8,p=1$salt$hash (RFC 7914), as passlib and the PHC libraries write it.
func parseScrypt(encoded string) (imported, error) {
	part := strings.Split(encoded, "$") // "", scrypt, costs, salt, hash
	if len(part) != 5 {
		return imported{}, malformed("scrypt: not 4 parts")
	}
	cost, err := costs("scrypt", part[2], "ln=", "r=", "p=")
	if err != nil {
		return imported{}, err
	}
	logN, r, p := cost[0], cost[1], cost[2]
	if logN < 1 || logN > maxScryptLogN || r < 1 || r > maxScryptFactor || p < 1 || p > maxScryptFactor {
		return imported{}, malformed("scrypt: not ln of 1 to %d, r and p of 1 to %d", maxScryptLogN, maxScryptFactor)
	}
	memory := r << logN / 8 // KiB
	if memory > maxScryptKiB || memory*p > maxScryptWork {
		return imported{}, malformed("scrypt: memory, or memory times p, above %d KiB", maxScryptKiB)
	}
	im, err := saltAndKey("scrypt", phcBase64, part[3], part[4])
	im.derive = func(password string, salt []byte, keyLength int) ([]byte, error) {
		return scrypt.Key([]byte(password), salt, 1<<logN, int(r), int(p), keyLength)
	}
	return im, err
}

// parsePBKDF2 decodes $pbkdf2-sha256$i=600000$salt$hash, to whose costs some libraries add the length of the hash, and
// passlib's $pbkdf2-sha256$29000$salt$hash, which has a base64 of its own; both also with sha512.
func parsePBKDF2(encoded string) (imported, error) {
	part := strings.Split(encoded, "$") // "", pbkdf2-sha256, costs, salt, hash
	if len(part) != 5 {
		return imported{}, malformed("pbkdf2: not 4 parts")
	}
	if strings.HasPrefix(part[2], "i=") {
		names := []string{"i=", "l="}
		cost, err := costs("pbkdf2", part[2], names[:1+min(strings.Count(part[2], ","), 1)]...)
		if err != nil {
			return imported{}, err
		}
		im, err := saltAndKey("pbkdf2", phcBase64, part[3], part[4])
		if err == nil && len(cost) == 2 && cost[1] != uint64(len(im.key)) {
			err = malformed("pbkdf2: l is not the length of the hash")
		}
		return im.pbkdf2(part[1], cost[0], err)
	}
	rounds, ok := number(part[2])
	if !ok {
		return imported{}, malformed("pbkdf2: no number of rounds")
	}
	im, err := saltAndKey("pbkdf2", ab64, part[3], part[4])
	return im.pbkdf2(part[1], rounds, err)
}

// parseDjango decodes pbkdf2_sha256$600000$salt$hash, in which the salt is text.
func parseDjango(encoded string) (imported, error) {
	part := strings.Split(encoded, "$")
	if len(part) != 4 {
		return imported{}, malformed("pbkdf2_sha256: not 4 parts")
	}
	rounds, ok := number(part[1])
	if !ok {
		return imported{}, malformed("pbkdf2_sha256: no number of rounds")
	}
	salt := base64.RawStdEncoding.EncodeToString([]byte(part[2]))
	im, err := saltAndKey("pbkdf2_sha256", phcBase64, salt, strings.TrimSuffix(part[3], "="))
	return im.pbkdf2("pbkdf2-sha256", rounds, err)
}

// pbkdf2 completes im with the function that variant names, unless there is an error already.
func (im imported) pbkdf2(variant string, rounds uint64, err error) (imported, error) {
	if err != nil {
		return imported{}, err
	}
	newHash, size, limit := sha256.New, sha256.Size, uint64(maxRoundsSHA256)
	switch variant {
	case "pbkdf2-sha256":
	case "pbkdf2-sha512":
		newHash, size, limit = sha512.New, sha512.Size, maxRoundsSHA512
	default:
		return imported{}, malformed("pbkdf2: neither sha256 nor sha512")
	}
	blocks := uint64(len(im.key)+size-1) / uint64(size)
	if rounds < 1 || rounds > limit/blocks {
		return imported{}, malformed("pbkdf2: rounds not within 1 to %d for each block of the hash", limit)
	}
	im.derive = pbkdf2With(newHash, int(rounds))
	return im, nil
}

func pbkdf2With(newHash func() hash.Hash, rounds int) func(string, []byte, int) ([]byte, error) {
	return func(password string, salt []byte, keyLength int) ([]byte, error) {
		return pbkdf2.Key(newHash, password, salt, rounds, keyLength)
	}
}

// saltAndKey decodes salt and hash and checks their lengths.
func saltAndKey(kind string, enc *base64.Encoding, salt, key string) (imported, error) {
	var im imported
	var err error
	if im.salt, err = enc.DecodeString(salt); err != nil {
		return imported{}, malformed("%s: salt is not unpadded base64", kind)
	}
	if im.key, err = enc.DecodeString(key); err != nil {
		return imported{}, malformed("%s: hash is not unpadded base64", kind)
	}
	if n := len(im.salt); n < minSaltBytes || n > maxSaltBytes {
		return imported{}, malformed("%s: salt is not of %d to %d bytes", kind, minSaltBytes, maxSaltBytes)
	}
	if n := len(im.key); n < minKeyBytes || n > maxKeyBytes {
		return imported{}, malformed("%s: hash is not of %d to %d bytes", kind, minKeyBytes, maxKeyBytes)
	}
	return im, nil
}

// costs parses numbers that have these names, in this order, with a comma between them.
func costs(kind, s string, names ...string) ([]uint64, error) {
	part := strings.Split(s, ",")
	if len(part) != len(names) {
		return nil, malformed("%s: costs are not %s", kind, strings.Join(names, ","))
	}
	values := make([]uint64, len(names))
	for i, name := range names {
		digits, found := strings.CutPrefix(part[i], name)
		if !found {
			return nil, malformed("%s: costs are not %s", kind, strings.Join(names, ","))
		}
		var ok bool
		if values[i], ok = number(digits); !ok {
			return nil, malformed("%s: %s is not followed by a number", kind, name)
		}
	}
	return values, nil
}

// number parses a number in its one spelling: no sign, no leading zero.
func number(digits string) (uint64, bool) {
	n, err := strconv.ParseUint(digits, 10, 32)
	return n, err == nil && strconv.FormatUint(n, 10) == digits
}

// matchImported is match for these kinds. All of them put the password into HMAC as its key, which is filled up with NULs:
// "a" and "a\0" have one hash, so a password with a NUL is refused, after the same work.
func (h *Hasher) matchImported(ctx context.Context, im imported, encoded, password string) (bool, error) {
	if err := h.enter(ctx, 1); err != nil {
		return false, err
	}
	defer h.leave(1)
	usable := password != "" && len(password) <= MaxBytes && strings.IndexByte(password, 0) < 0
	a := h.compute(question{encoded, []byte(password[:min(len(password), MaxBytes)])})
	if a.Defect {
		return false, ErrMalformed
	}
	return subtle.ConstantTimeCompare(a.Key, im.key) == 1 && usable, nil
}
