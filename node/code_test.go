package node

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	testVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // of RFC 7636 appendix B
	testRedirect = "https://app.test/cb"
)

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// app is a code request of the public client app, which is made unless it is there.
func (r *rig) app() CodeRequest {
	r.t.Helper()
	err := r.nodes["a"].CreateClient(context.Background(), NewClient{
		ID: "app", Scope: []string{"openid", "profile", "jobs"}, Redirects: []string{testRedirect, "http://127.0.0.1/cb"},
	}, Origin{})
	if err != nil && !errors.Is(err, ErrExists) {
		r.t.Fatal(err)
	}
	return CodeRequest{
		Client: "app", Redirect: testRedirect, Named: true, Scope: []string{"openid", "profile"}, Nonce: "n-1",
		Challenge: challengeOf(testVerifier),
	}
}

// code returns a code for alice, and how it is redeemed.
func (r *rig) code(at string, req CodeRequest) CodeRedemption {
	r.t.Helper()
	code, err := r.nodes[at].IssueCode(context.Background(), req, LoginRequest{Name: "alice", Password: alicePassword})
	if err != nil {
		r.t.Fatalf("code at %s: %v", at, err)
	}
	return CodeRedemption{Code: code, Client: req.Client, Redirect: req.Redirect, Verifier: testVerifier}
}

// A code of one replica starts a session at another one, with an ID token for the client.
func TestCodeStartsASession(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		req := r.app()
		login := time.Now().Unix()
		red := r.code("a", req)
		time.Sleep(7 * time.Second)
		synctest.Wait()
		tok := must(r.nodes["b"].RedeemCode(ctx, red))(t)
		r.accepted(tok)
		alice, _ := r.nodes["a"].UserByName("alice")
		id := must(r.nodes["c"].Verify(ctx, tok.AccessToken))(t)
		if id.Subject() != alice.ID.String() || id.Client() != "app" || id.Scope() != "openid profile" {
			t.Errorf("%s %s %q", id.Subject(), id.Client(), id.Scope())
		}
		payload := must(base64.RawURLEncoding.DecodeString(strings.Split(tok.IDToken, ".")[1]))(t)
		var claims map[string]any
		if err := json.Unmarshal(payload, &claims); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]any{
			"iss": "https://knell.test", "sub": alice.ID.String(), "aud": "app", "nonce": "n-1",
			"sid": tok.Session.String(), "auth_time": float64(login),
			"iat": float64(login + 7), "exp": float64(login + 7 + 300),
		} {
			if claims[name] != want {
				t.Errorf("%s: %v, want %v", name, claims[name], want)
			}
		}
		next := must(r.nodes["c"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken, Client: "app"}))(t)
		r.accepted(next)
		if next.IDToken != "" {
			t.Error("a refresh gave an ID token")
		}
		r.same()
	})
}

// The client may ask for what it is registered for, and gets of it what the user has.
func TestCodeScope(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		for _, c := range []struct {
			asked, granted []string
			err            error
		}{
			{nil, []string{"profile"}, nil}, // all but openid, which has to be asked for
			{[]string{"openid"}, []string{"openid"}, nil},
			{[]string{"profile", "jobs"}, []string{"profile"}, nil}, // alice has no jobs
			{[]string{"jobs"}, nil, ErrInvalidScope},
			{[]string{"notes"}, nil, ErrInvalidScope}, // alice has it, and the client not
		} {
			req := r.app()
			req.Scope = c.asked
			code, err := r.nodes["b"].IssueCode(ctx, req, LoginRequest{Name: "alice", Password: alicePassword})
			if !errors.Is(err, c.err) {
				t.Errorf("%v: %v", c.asked, err)
			}
			if err != nil {
				continue
			}
			tok := must(r.nodes["c"].RedeemCode(ctx, CodeRedemption{Code: code, Client: "app", Redirect: testRedirect, Verifier: testVerifier}))(t)
			if !slices.Equal(tok.Scope, c.granted) || (tok.IDToken != "") != slices.Contains(c.granted, "openid") {
				t.Errorf("%v: %v, ID token %q", c.asked, tok.Scope, tok.IDToken)
			}
		}
	})
}

// No code without the right password, for a good client and a redirect URI of it.
func TestCodeIsNotIssued(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		good := r.app()
		login := LoginRequest{Name: "alice", Password: alicePassword}
		for what, c := range map[string]struct {
			edit func(*CodeRequest, *LoginRequest)
			want error
		}{
			"wrong password":   {func(_ *CodeRequest, l *LoginRequest) { l.Password = "wrong" }, ErrInvalidGrant},
			"unknown name":     {func(_ *CodeRequest, l *LoginRequest) { l.Name = "nobody" }, ErrInvalidGrant},
			"unknown client":   {func(c *CodeRequest, _ *LoginRequest) { c.Client = "nobody" }, ErrInvalidClient},
			"redirect URI":     {func(c *CodeRequest, _ *LoginRequest) { c.Redirect = "https://evil.test/" }, ErrBadRequest},
			"no challenge":     {func(c *CodeRequest, _ *LoginRequest) { c.Challenge = "" }, ErrBadRequest},
			"plain challenge":  {func(c *CodeRequest, _ *LoginRequest) { c.Challenge = testVerifier + "~" }, ErrBadRequest},
			"bits too many":    {func(c *CodeRequest, _ *LoginRequest) { c.Challenge = challengeOf(testVerifier)[:42] + "9" }, ErrBadRequest},
			"line in the text": {func(c *CodeRequest, _ *LoginRequest) { c.Challenge = challengeOf(testVerifier)[:42] + "\n" }, ErrBadRequest},
		} {
			req, l := good, login
			c.edit(&req, &l)
			if _, err := r.nodes["b"].IssueCode(context.Background(), req, l); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// A replica that is cut off refuses codes as it refuses tokens: with 503, whatever is presented.
func TestCutOffReplicaRefusesCodes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		req := r.app()
		red := r.code("a", req)
		r.links["c"].Cut()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		c := r.nodes["c"]
		if _, err := c.RedeemCode(ctx, red); !errors.Is(err, ErrNotCurrent) {
			t.Errorf("a good code: %v", err)
		}
		if _, err := c.RedeemCode(ctx, CodeRedemption{Code: "knc_", Client: "app"}); !errors.Is(err, ErrNotCurrent) {
			t.Errorf("a bad code: %v", err)
		}
		if _, err := c.IssueCode(ctx, req, LoginRequest{Name: "alice", Password: "wrong"}); !errors.Is(err, ErrNotCurrent) {
			t.Errorf("issue: %v", err)
		}
		for _, id := range []string{"app", "nobody"} {
			if _, err := c.ClientForCode(id); !errors.Is(err, ErrNotCurrent) {
				t.Errorf("client %s: %v", id, err)
			}
		}
		r.links["c"].Heal()
	})
}

// The request in a log-in page is read by every replica, for ten minutes, and cannot be altered.
func TestSealedRequests(t *testing.T) {
	bubbleWith(t, seldom, func(t *testing.T, r *rig) {
		req := r.app()
		req.State = `a"<b>\u0000&`
		sealed := r.nodes["a"].SealRequest(req)
		for name, n := range r.nodes {
			got, err := n.OpenRequest(sealed)
			if err != nil || got.State != req.State || got.Redirect != req.Redirect || !slices.Equal(got.Scope, req.Scope) ||
				got.Challenge != req.Challenge {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		code := r.code("a", req).Code
		for what, text := range map[string]string{
			"nothing": "", "cut": sealed[:len(sealed)-1], "altered": sealed[:20] + "AAAA" + sealed[24:], "line": sealed + "\n", "a code": code,
			"a code under its prefix": requestPrefix + strings.TrimPrefix(code, codePrefix), "prefix alone": requestPrefix,
		} {
			if _, err := r.nodes["b"].OpenRequest(text); !errors.Is(err, ErrBadRequest) {
				t.Errorf("%s: %v", what, err)
			}
		}
		time.Sleep(requestTTL)
		synctest.Wait()
		if _, err := r.nodes["b"].OpenRequest(sealed); !errors.Is(err, ErrBadRequest) {
			t.Errorf("after ten minutes: %v", err)
		}
	})
}

// Neither codes nor what they are bound to are in the log, beyond the start of a hash.
func TestCodesLeaveNoSecret(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		req := r.app()
		red := r.code("a", req)
		must(r.nodes["b"].RedeemCode(ctx, red))(t)
		_, replayed := r.nodes["c"].RedeemCode(ctx, red)
		texts := []string{errorText(replayed)}
		for _, m := range r.log.Messages() {
			texts = append(texts, string(m.Data))
		}
		for _, text := range texts {
			for _, secret := range []string{red.Code, red.Code[20:60], testVerifier, req.Challenge, req.Nonce} {
				if strings.Contains(text, secret) {
					t.Errorf("%q is in %q", secret, text)
				}
			}
		}
	})
}

// A client that was called so before the API was renamed to its id gets no ID tokens: they would be for the API.
func TestNoCodesForAClientNamedLikeTheAudience(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		req := r.app()
		must(r.nodes["a"].ClientForCode("app"))(t)
		for _, name := range []string{"a", "b", "c"} {
			r.kill(name)
		}
		r.edit = func(c *Config) { c.Audience = "app" }
		r.start("a")
		if _, err := r.nodes["a"].ClientForCode("app"); !errors.Is(err, ErrInvalidClient) {
			t.Error(err)
		}
		_, err := r.nodes["a"].IssueCode(context.Background(), req, LoginRequest{Name: "alice", Password: alicePassword})
		if !errors.Is(err, ErrInvalidClient) {
			t.Error(err)
		}
	})
}
