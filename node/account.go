package node

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/password"
)

// account is a copy of what a login is decided on. The zero account is one that does not exist.
type account struct {
	id       events.ID
	hash     string
	scope    []string // its own, and those that its roles give
	seq      uint64
	credSeq  uint64
	stale    uint64
	disabled bool
}

// account returns the account of a login name.
func (n *Node) account(name string) account {
	key, err := normalName(name)
	if err != nil {
		return account{}
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	u := n.state.names[key]
	if u == nil {
		return account{}
	}
	return n.state.accountOf(u)
}

func (s *state) accountOf(u *user) account {
	return account{u.id, u.hash, s.grants(u), u.seq, u.credSeq, u.stale, u.disabled}
}

// opensAs reports whether a password opens a if, and only if, it opens b, which is the same account at another time.
func (a account) opensAs(b account) bool {
	return a.id == b.id && a.hash == b.hash && a.disabled == b.disabled
}

// checkPassword reports whether pw opens acc. An unknown account, a wrong password and a disabled account cost the same
// work. Everybody's passwords come through tryPassword.
func (n *Node) checkPassword(ctx context.Context, h *password.Hasher, acc account, pw string) (bool, error) {
	if acc.id.IsZero() || acc.hash == suspended {
		return false, busy(h.VerifyUnknown(ctx, pw))
	}
	r, err := h.Verify(ctx, acc.hash, pw)
	if err != nil {
		return false, busy(err)
	}
	ok := r.OK && !acc.disabled
	if ok && r.Rehash {
		n.later(func(ctx context.Context) { n.rehash(ctx, acc, pw) })
	}
	return ok, nil
}

// rehash stores a password that was just verified under the parameters of today.
func (n *Node) rehash(ctx context.Context, acc account, pw string) {
	hash, err := n.hasher.Hash(ctx, pw)
	if err != nil {
		return // the next login tries again
	}
	d := &events.SecretRehash{User: acc.id, Hash: hash, UserSeq: acc.credSeq}
	if _, err := n.commit(ctx, n.newEvent(d, acc.id.String(), Origin{Actor: "system"}), plain); err != nil {
		n.log.Warn("password not rehashed", "user", acc.id, "error", err)
	}
}

// busy turns the hasher's refusal into the node's.
func busy(err error) error {
	var b *password.BusyError
	switch {
	case errors.Is(err, ErrUnknownOutcome): // of a reservation
		return err
	case errors.As(err, &b):
		return &BusyError{RetryAfter: b.RetryAfter}
	case errors.Is(err, password.ErrPolicy):
		return fmt.Errorf("%w: %w", ErrBadRequest, err)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		return &BusyError{RetryAfter: time.Second}
	}
	return err
}

// noteFailure records a refused login, in the background: it is noise from outside and is shed first.
func (n *Node) noteFailure(acc account, req LoginRequest) {
	if n.nearlyFull(attemptShare) {
		return
	}
	d := &events.LoginFailed{User: acc.id, Cause: "password"}
	subject := acc.id.String()
	switch {
	case acc.id.IsZero():
		d.Cause, d.NameHash = "unknown", n.hashName(req.Name)
		subject = d.NameHash.String()
	case acc.disabled:
		d.Cause = "disabled"
	}
	o := req.Origin
	o.Actor = "anonymous"
	e := n.newEvent(d, subject, o)
	n.later(func(ctx context.Context) {
		if _, err := n.write(ctx, e); err != nil {
			n.log.Debug("attempt not recorded", "error", err)
		}
	})
}

// hashName returns a keyed hash of a name that no user has: people type passwords into name fields. Names that are one login
// name have one hash.
func (n *Node) hashName(name string) events.ID {
	normal, err := normalName(name)
	n.mu.RLock()
	key := n.state.hashKey
	n.mu.RUnlock()
	if err != nil { // it may have a zero byte, behind which keyedHash has what else is hashed
		sum := keyedHash(key, "name", []byte(name))
		return events.ID(sum[:16])
	}
	m := hmac.New(sha256.New, key)
	m.Write([]byte(normal))
	return events.ID(m.Sum(nil)[:16])
}

// normalName returns the form under which a login name is kept: without surrounding space, letters in lower case, composed
// (NFC): RFC 8265 section 3.3 without its mapping of widths. Characters that cannot be seen are refused: nobody could tell two
// names apart by them.
func normalName(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", fmt.Errorf("%w: name is not valid UTF-8", ErrBadRequest)
	}
	name = norm.NFC.String(strings.ToLower(strings.TrimSpace(name)))
	if name == "" || len(name) > 128 {
		return "", fmt.Errorf("%w: name must have 1 to 128 bytes", ErrBadRequest)
	}
	if !printable(name) || strings.ContainsFunc(name, blank) {
		return "", fmt.Errorf("%w: name has a character that cannot be seen", ErrBadRequest)
	}
	if first, _ := utf8.DecodeRuneInString(name); unicode.IsMark(first) {
		return "", fmt.Errorf("%w: name begins with a combining mark", ErrBadRequest)
	}
	return name, nil
}

// blank reports whether r shows nothing although it counts as a mark or a symbol: variation selectors and the empty Braille
// pattern.
func blank(r rune) bool { return unicode.Is(unicode.Variation_Selector, r) || r == '\u2800' }

// printable reports whether every character of s can be seen. U+FFFD stands for what was no character.
func printable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) {
			return false
		}
	}
	return true
}

// maxWords bounds the bytes of roles, and those of scopes: both have to fit into a token of 4 kB, base64 and all.
const maxWords = 1024

// checkWords checks roles or scopes: RFC 6749 scope tokens.
func checkWords(kind string, words []string) error {
	if len(words) > 64 || len(strings.Join(words, " ")) > maxWords {
		return fmt.Errorf("%w: more than 64 %ss, or more than %d bytes of them", ErrBadRequest, kind, maxWords)
	}
	for i, w := range words {
		if !scopeToken(w) {
			return fmt.Errorf("%w: %s %q is malformed", ErrBadRequest, kind, w)
		}
		if slices.Contains(words[:i], w) {
			return fmt.Errorf("%w: %s %q is named twice", ErrBadRequest, kind, w)
		}
	}
	return nil
}

// scopeToken reports whether s is a scope-token of RFC 6749 section 3.3 of at most 64 bytes. Commas are refused as well:
// proxies join header values with them.
func scopeToken(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' || c == ',' {
			return false
		}
	}
	return true
}

// grantScope returns what is granted of what was asked: all that is allowed when nothing was asked, and nothing beyond it.
func grantScope(asked, allowed []string) ([]string, error) {
	granted := slices.Clone(allowed)
	if len(asked) > 0 {
		granted = nil
	}
	for _, s := range asked {
		if !slices.Contains(allowed, s) {
			return nil, fmt.Errorf("%w: %q may not be granted", ErrInvalidScope, s)
		}
		if !slices.Contains(granted, s) {
			granted = append(granted, s)
		}
	}
	if len(strings.Join(granted, " ")) > maxWords { // what a user has by its roles is bounded for each of them only
		return nil, fmt.Errorf("%w: it is too much for one token, ask for less", ErrInvalidScope)
	}
	return granted, nil
}

// narrowScope returns what an access token is limited to of its session's scope (RFC 6749 section 6), nil for no limit.
func narrowScope(asked, session []string) ([]string, error) {
	if len(asked) == 0 {
		return nil, nil
	}
	return grantScope(asked, session)
}
