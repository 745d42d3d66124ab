// Command zitadel is github.com/zitadel/oidc as a relying party and as a resource server, both of which know nothing of Knell. It is a
// module of its own, so that nothing that it needs gets into the one that it tests.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/client/rs"
	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"
)

var (
	issuer   = os.Getenv("ISSUER") // a balancer before all replicas
	replicas = strings.Split(os.Getenv("REPLICAS"), ",")
	client   = os.Getenv("CLIENT_ID")
	secret   = os.Getenv("CLIENT_SECRET")
)

func main() {
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
		if err := run(context.Background(), style); err != nil {
			fmt.Fprintf(os.Stderr, "client authentication %d: %v\n", style, err)
			os.Exit(1)
		}
	}
}

// run logs a user in, uses and refreshes what came of it, and ends the session.
func run(ctx context.Context, style oauth2.AuthStyle) error {
	var callback http.HandlerFunc
	mux := http.NewServeMux()
	mux.HandleFunc("/callback", func(w http.ResponseWriter, r *http.Request) { callback(w, r) })
	app := httptest.NewServer(mux)
	defer app.Close()
	cookies := httphelper.NewCookieHandler(random(32), random(32), httphelper.WithUnsecure()) // over http
	party, err := rp.NewRelyingPartyOIDC(ctx, issuer, client, secret, app.URL+"/callback", []string{"openid", "notes"},
		rp.WithPKCE(cookies), rp.WithSigningAlgsFromDiscovery(), rp.WithAuthStyle(style))
	if err != nil {
		return err
	}
	state := "a state"
	mux.HandleFunc("/login", rp.AuthURLHandler(func() string { return state }, party))
	var got *oidc.Tokens[*oidc.IDTokenClaims]
	var about *oidc.UserInfo
	callback = rp.CodeExchangeHandler(rp.UserinfoCallback(func(w http.ResponseWriter, _ *http.Request,
		tokens *oidc.Tokens[*oidc.IDTokenClaims], _ string, _ rp.RelyingParty, info *oidc.UserInfo) {
		got, about = tokens, info
	}), party)
	if err := logIn(app.URL + "/login"); err != nil {
		return err
	}
	if got == nil || about.Subject != got.IDTokenClaims.Subject {
		return fmt.Errorf("logged in: %+v, %+v", got, about)
	}
	if err := verified(got.AccessToken, http.StatusOK); err != nil {
		return err
	}
	next, err := rp.RefreshTokens[*oidc.IDTokenClaims](ctx, party, got.RefreshToken, "", "")
	if err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	if next.AccessToken == got.AccessToken || next.RefreshToken == got.RefreshToken {
		return errors.New("a refresh gave the same tokens again")
	}
	if err := introspect(ctx, next.AccessToken, about.Subject); err != nil {
		return err
	}
	if err := rp.RevokeToken(ctx, party, next.RefreshToken, "refresh_token"); err != nil {
		return fmt.Errorf("revocation: %w", err)
	}
	if err := verified(next.AccessToken, http.StatusUnauthorized); err != nil {
		return err
	}
	var refusal *oidc.Error
	if _, err = rp.RefreshTokens[*oidc.IDTokenClaims](ctx, party, next.RefreshToken, "", ""); err == nil {
		return errors.New("refreshed after the revocation")
	} else if errors.As(err, &refusal) && refusal.ErrorType != oidc.InvalidGrant || !strings.Contains(err.Error(), "invalid_grant") {
		return fmt.Errorf("a refresh after the revocation: %w", err)
	}
	party, err = rp.NewRelyingPartyOIDC(ctx, issuer, client, secret, "", []string{"jobs"}, rp.WithAuthStyle(style))
	if err != nil {
		return err
	}
	own, err := rp.ClientCredentials(ctx, party, nil)
	if err != nil {
		return fmt.Errorf("a client's own token: %w", err)
	}
	return verified(own.AccessToken, http.StatusOK)
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

var hidden = regexp.MustCompile(`name="login_request" value="([^"]+)"`)

// logIn is the user at a browser.
func logIn(start string) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := &http.Client{Jar: jar}
	page, err := text(browser.Get(start))
	if err != nil {
		return err
	}
	request := hidden.FindStringSubmatch(page)
	if request == nil {
		return fmt.Errorf("no log-in page: %s", page)
	}
	_, err = text(browser.PostForm(issuer+"/authorize", url.Values{
		"login_request": {request[1]}, "username": {os.Getenv("USER_NAME")}, "password": {os.Getenv("USER_PASSWORD")},
	}))
	return err
}

// text returns the body of a good answer.
func text(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", resp.Request.URL, resp.StatusCode, body)
	}
	return string(body), err
}

// verified returns an error unless every replica answers /verify with the status.
func verified(token string, status int) error {
	for _, base := range replicas {
		req, err := http.NewRequest(http.MethodGet, base+"/verify", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			return fmt.Errorf("%s answers %d, want %d", base, resp.StatusCode, status)
		}
	}
	return nil
}

// introspect is a resource server that asks about a token.
func introspect(ctx context.Context, token, subject string) error {
	server, err := rs.NewResourceServerClientCredentials(ctx, issuer, client, secret)
	if err != nil {
		return err
	}
	got, err := rs.Introspect[*oidc.IntrospectionResponse](ctx, server, token)
	if err != nil || !got.Active || got.Subject != subject || got.Username != os.Getenv("USER_NAME") {
		return fmt.Errorf("introspection: %+v, %w", got, err)
	}
	return nil
}
