package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/golang-jwt/jwt/v5"
	"github.com/redis/go-redis/v9"
)

// Handlers that Knell is compared with, in chi and in the server that Knell has. They get the same requests, and say who asks, as /verify does.
const (
	empty      = "empty chi handler"
	jwtEdDSA   = "golang-jwt, EdDSA"
	jwtHS256   = "golang-jwt, HS256"
	withRedis  = " + Redis GET" // asks a deny-list
	redisAlone = "Redis GET, opaque token"
)

// claims are what a service reads of a token: those of Knell's.
type claims struct {
	jwt.RegisteredClaims
	Client string   `json:"client_id"`
	Scope  string   `json:"scope"`
	Roles  []string `json:"roles"`
}

// handler returns the service of s.Kind.
func (s *service) handler(ctx context.Context) (http.Handler, error) {
	r := chi.NewRouter()
	if s.Kind == empty {
		r.Get("/verify", func(http.ResponseWriter, *http.Request) {})
		r.Post("/introspect", func(http.ResponseWriter, *http.Request) {})
		return r, nil
	}
	kind, listed := strings.CutSuffix(s.Kind, withRedis)
	var store *redis.Client
	if listed || s.Kind == redisAlone {
		store = redis.NewClient(&redis.Options{Addr: s.Redis, ReadTimeout: 3 * time.Second})
		if err := store.Ping(ctx).Err(); err != nil {
			return nil, err
		}
	}
	if s.Kind == redisAlone {
		if err := store.Set(ctx, sessionKey(s.Opaque), "alice", time.Hour).Err(); err != nil {
			return nil, err
		}
		r.Get("/verify", opaque(store))
		return r, nil
	}
	check, err := s.checker(kind)
	if err != nil {
		return nil, err
	}
	r.Get("/verify", stateless(check, store))
	return r, nil
}

func sessionKey(token string) string { return "session:" + token }

// opaque looks a token up.
func opaque(store *redis.Client) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !found {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		user, err := store.Get(r.Context(), sessionKey(token)).Result()
		switch {
		case errors.Is(err, redis.Nil):
			w.WriteHeader(http.StatusUnauthorized)
		case err != nil:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.Header().Set("X-User", user)
		}
	}
}

// stateless checks a token, and asks the store whether it was revoked; nil: it does not.
func stateless(check func(token string) (claims, error), store *redis.Client) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		c, err := check(token)
		if !found || err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if store != nil {
			switch err := store.Get(r.Context(), "revoked:"+c.ID).Err(); {
			case err == nil:
				w.WriteHeader(http.StatusUnauthorized)
				return
			case !errors.Is(err, redis.Nil):
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		}
		w.Header().Set("X-User", c.Subject)
	}
}

// checker checks tokens as golang-jwt's documentation has it: the algorithms named, expiry required.
func (s *service) checker(kind string) (func(token string) (claims, error), error) {
	var alg string
	var key any
	var err error
	switch kind {
	case jwtEdDSA:
		alg = jwt.SigningMethodEdDSA.Alg()
		key, err = publicKey(s.JWKS)
	case jwtHS256:
		alg, key = jwt.SigningMethodHS256.Alg(), s.Secret
	default:
		err = fmt.Errorf("there is no service %q", s.Kind)
	}
	if err != nil {
		return nil, err
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{alg}), jwt.WithExpirationRequired(), jwt.WithIssuer(s.Issuer), jwt.WithAudience(audience))
	keyOf := func(*jwt.Token) (any, error) { return key, nil }
	return func(token string) (c claims, err error) {
		_, err = parser.ParseWithClaims(token, &c, keyOf)
		return c, err
	}, nil
}

// publicKey returns the one key of a JWKS (RFC 8037).
func publicKey(jwks []byte) (ed25519.PublicKey, error) {
	var set struct {
		Keys []struct {
			X string `json:"x"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		return nil, err
	}
	if len(set.Keys) != 1 {
		return nil, fmt.Errorf("%d keys, want one", len(set.Keys))
	}
	x, err := base64.RawURLEncoding.DecodeString(set.Keys[0].X)
	if err != nil || len(x) != ed25519.PublicKeySize {
		return nil, errors.New("the key is not of Ed25519")
	}
	return x, nil
}

// resign returns a token with the claims of another one, under HS256.
func resign(token string, secret []byte) (string, error) {
	c := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, c); err != nil {
		return "", err
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(secret)
}
