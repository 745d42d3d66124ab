package rival

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/bcrypt"
)

// loginCost is bcrypt's lowest: logins prepare the measurements and are not measured.
const loginCost = bcrypt.MinCost

// maxForm bounds the body of a login, in bytes.
const maxForm = 16 << 10

// Server is one replica without its listener. Its paths are Knell's: POST /token, GET /verify, POST /logout, GET /readyz.
type Server struct {
	cfg    Config
	signer *signer
	list   revocations
	hash   []byte // of the account's password
}

// New connects to the store and loads what the profile keeps in memory. ctx serves the start only.
func New(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(cfg.Password), loginCost)
	if err != nil {
		return nil, err
	}
	list, err := open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Server{cfg: cfg, signer: newSigner(cfg.Secret, cfg.TokenTTL), list: list, hash: hash}, nil
}

// Close ends what New started. No request may be under way.
func (s *Server) Close() error { return s.list.close() }

// Handler returns the HTTP surface. The hot path has no middleware but the recovery from panics, as Knell's.
func (s *Server) Handler() http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.Recoverer)
	r.Get("/readyz", func(http.ResponseWriter, *http.Request) {})
	r.Post("/token", s.token)
	r.With(s.authenticate).Get("/verify", s.verify)
	r.Post("/logout", s.logout)
	return r
}

// token is the password grant of RFC 6749 section 4.3.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "password" {
		answer(w, http.StatusBadRequest, map[string]any{"error": "unsupported_grant_type"})
		return
	}
	good := bcrypt.CompareHashAndPassword(s.hash, []byte(r.PostForm.Get("password"))) == nil
	if !good || r.PostForm.Get("username") != s.cfg.User {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	token, err := s.signer.issue(s.cfg.User)
	if err != nil {
		slog.Error("signing", "cause", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"access_token": token, "token_type": "Bearer", "expires_in": int(s.cfg.TokenTTL.Seconds()),
	})
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails when the client has gone
}

type claimsKey struct{}

// authenticate lets requests with a good token pass. 503 when it cannot be told whether the session was ended.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := s.bearer(w, r)
		if !ok {
			return
		}
		revoked, err := s.list.revoked(r.Context(), claims.ID)
		switch {
		case err != nil:
			unavailable(w, err)
		case revoked:
			unauthorized(w)
		default:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), claimsKey{}, claims)))
		}
	})
}

// bearer returns the claims of the request's token, or answers that it is no good.
func (s *Server) bearer(w http.ResponseWriter, r *http.Request) (jwt.RegisteredClaims, bool) {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	claims, err := s.signer.check(token)
	if !found || err != nil {
		unauthorized(w)
		return claims, false
	}
	return claims, true
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	w.WriteHeader(http.StatusUnauthorized)
}

func unavailable(w http.ResponseWriter, cause error) {
	slog.Debug("unavailable", "cause", cause)
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
}

// verify is the protected resource: it says who asks.
func (s *Server) verify(w http.ResponseWriter, r *http.Request) {
	claims, _ := r.Context().Value(claimsKey{}).(jwt.RegisteredClaims)
	w.Header().Set("X-User", claims.Subject)
	w.Header().Set("X-Session", claims.ID)
	w.Header().Set("Cache-Control", "no-store")
}

// logout ends the session of the bearer token. 204 only when the store has taken it, where there is one.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	claims, ok := s.bearer(w, r)
	if !ok {
		return
	}
	if err := s.list.revoke(r.Context(), claims.ID, claims.ExpiresAt.Time); err != nil {
		unavailable(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
