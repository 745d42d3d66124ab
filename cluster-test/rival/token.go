package rival

import (
	"crypto/rand"
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// issuer is in every token, as issuer and as audience: the replicas of one service issue and check them.
const issuer = "rival"

// signer issues and checks tokens. HS256, because replicas of one service can share a secret, and nothing is cheaper to check.
type signer struct {
	secret []byte
	ttl    time.Duration
	parser *jwt.Parser
}

func newSigner(secret string, ttl time.Duration) *signer {
	return &signer{
		secret: []byte(secret), ttl: ttl,
		parser: jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired(),
			jwt.WithIssuer(issuer), jwt.WithAudience(issuer)),
	}
}

// issue returns a token of a new session.
func (s *signer) issue(user string) (string, error) {
	now := time.Now()
	return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{issuer}, Subject: user, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(s.ttl)),
	}).SignedString(s.secret)
}

// check returns the claims of a token whose signature, time and names are right. It knows nothing of revocation.
func (s *signer) check(token string) (jwt.RegisteredClaims, error) {
	var claims jwt.RegisteredClaims
	_, err := s.parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return s.secret, nil })
	if err == nil && claims.ID == "" {
		err = errors.New("rival: token without an id")
	}
	return claims, err
}
