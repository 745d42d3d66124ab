package password

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// ErrPolicy says that a password may not be set. The error that wraps it says why, in words for the user.
var ErrPolicy = errors.New("password not accepted")

// MinCharacters is the least length of a new password.
const MinCharacters = 8

// CheckNew returns nil if password may be set, and otherwise an error that wraps ErrPolicy: it must have at least
// MinCharacters code points and at most MaxBytes bytes, be valid UTF-8 and hold no control character. There are no
// composition rules (NIST SP 800-63B; its revision 4 asks for 15 characters where the password is the only factor, which
// remains the operator's decision, as do lists of known passwords).
//
// Passwords are compared byte for byte. NIST recommends Unicode normalisation first (RFC 8265 calls the profile
// OpaqueString): that needs golang.org/x/text and is left to the client, so one that sends composed and decomposed
// letters in turn is refused, never wrongly accepted.
func CheckNew(password string) error {
	switch {
	case len(password) > MaxBytes:
		return fmt.Errorf("%w: longer than %d bytes", ErrPolicy, MaxBytes)
	case !utf8.ValidString(password):
		return fmt.Errorf("%w: not valid UTF-8", ErrPolicy)
	case utf8.RuneCountInString(password) < MinCharacters:
		return fmt.Errorf("%w: shorter than %d characters", ErrPolicy, MinCharacters)
	}
	for _, r := range password {
		if unicode.IsControl(r) {
			return fmt.Errorf("%w: it contains a control character", ErrPolicy)
		}
	}
	return nil
}
