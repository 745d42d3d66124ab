package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
	"github.com/knell-auth/knell/node"
)

// newFront returns the URL of three replicas, each of which gets every third request, and carol's id. The URL is their issuer.
// Beside app there is the confidential client web.
func newFront(t *testing.T) (url string, carol events.ID) {
	t.Helper()
	var replicas [3]http.Handler
	var turn atomic.Uint64
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		replicas[turn.Add(1)%3].ServeHTTP(w, r)
	}))
	issuer := "http://" + front.Listener.Addr().String()
	log := eventstest.New(t)
	var n *node.Node
	for i, name := range []string{"a", "b", "c"} {
		n = startNode(t, name, log.Node(name), slog.New(slog.DiscardHandler), func(c *node.Config) { c.Issuer = issuer })
		replicas[i] = New(n, Config{})
	}
	front.Start()
	t.Cleanup(front.Close)
	err := n.CreateClient(t.Context(), node.NewClient{
		ID: "web", Secret: "web-secret+/=%", Scope: []string{"openid", "profile", "email"}, Redirects: []string{"http://127.0.0.1/cb"},
	}, node.Origin{Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return front.URL, addApp(t, n)
}

// relyingParty is an application that logs users in, made of other people's libraries.
type relyingParty struct {
	provider               *oidc.Provider
	conf                   oauth2.Config
	state, nonce, verifier string
	user                   string // who came back
}

func newRelyingParty(t *testing.T, issuer, redirect, id, secret string) *relyingParty {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), issuer)
	if err != nil {
		t.Fatal(err)
	}
	return &relyingParty{
		provider: provider, state: "state of " + id, nonce: "nonce of " + id, verifier: oauth2.GenerateVerifier(),
		conf: oauth2.Config{
			ClientID: id, ClientSecret: secret, Endpoint: provider.Endpoint(), RedirectURL: redirect,
			Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
		},
	}
}

func (p *relyingParty) logInURL() string {
	return p.conf.AuthCodeURL(p.state, oauth2.S256ChallengeOption(p.verifier), oidc.Nonce(p.nonce))
}

// callback is where the browser comes back to.
func (p *relyingParty) callback(w http.ResponseWriter, r *http.Request) {
	if err := p.finish(r.Context(), r); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprint(w, "welcome")
}

// finish redeems the code and checks all that came with it.
func (p *relyingParty) finish(ctx context.Context, r *http.Request) error {
	q := r.URL.Query()
	if q.Get("state") != p.state || q.Get("iss") != strings.TrimSuffix(p.conf.Endpoint.AuthURL, "/authorize") || q.Get("error") != "" {
		return fmt.Errorf("answer %v", q)
	}
	tok, err := p.conf.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(p.verifier))
	if err != nil {
		return err
	}
	raw, _ := tok.Extra("id_token").(string)
	id, err := p.provider.Verifier(&oidc.Config{ClientID: p.conf.ClientID}).Verify(ctx, raw)
	if err != nil {
		return err
	}
	if id.Nonce != p.nonce {
		return fmt.Errorf("nonce %q", id.Nonce)
	}
	if err := id.VerifyAccessToken(tok.AccessToken); err != nil {
		return err
	}
	info, err := p.provider.UserInfo(ctx, oauth2.StaticTokenSource(tok))
	if err != nil {
		return err
	}
	var names struct {
		Name     string `json:"name"`
		Username string `json:"preferred_username"`
	}
	if err := info.Claims(&names); err != nil || info.Subject != id.Subject || info.Email != "carol@example.com" ||
		names.Name != "Carol Example" || names.Username != "carol" {
		return fmt.Errorf("user info %+v %+v: %w", info, names, err)
	}
	p.user = id.Subject
	return p.goOn(ctx, tok)
}

// goOn refreshes, as the library does when an access token has expired.
func (p *relyingParty) goOn(ctx context.Context, tok *oauth2.Token) error {
	tok.Expiry = time.Now().Add(-time.Minute)
	next, err := p.conf.TokenSource(ctx, tok).Token()
	if err != nil {
		return err
	}
	if next.AccessToken == tok.AccessToken || next.RefreshToken == tok.RefreshToken {
		return errors.New("the same tokens again")
	}
	_, err = p.provider.UserInfo(ctx, oauth2.StaticTokenSource(next))
	return err
}

// Clients that know nothing of Knell log a user in: golang.org/x/oauth2 and go-oidc, as public and as confidential client, through
// three replicas that take turns.
func TestStandardClients(t *testing.T) {
	issuer, carol := newFront(t)
	for id, secret := range map[string]string{"app": "", "web": "web-secret+/=%"} {
		t.Run(id, func(t *testing.T) {
			var p *relyingParty
			app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.callback(w, r) }))
			defer app.Close()
			p = newRelyingParty(t, issuer, app.URL+"/cb", id, secret)
			body := get200(t, http.Get, p.logInURL())
			form := with(readPage(t, body).fields, "username", "carol", "password", carolPassword)
			body = get200(t, func(url string) (*http.Response, error) { return http.PostForm(url, form) }, issuer+"/authorize")
			if body != "welcome" || p.user != carol.String() {
				t.Errorf("%q for %q, want carol: %s", body, p.user, carol)
			}
		})
	}
}

// get200 makes a request, follows redirects and returns the body of the last answer, which has to be 200.
func get200(t *testing.T, do func(url string) (*http.Response, error), url string) string {
	t.Helper()
	resp, err := do(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v\n%s", url, resp.StatusCode, err, body)
	}
	return string(body)
}
