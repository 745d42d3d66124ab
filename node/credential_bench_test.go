package node

import (
	"context"
	"testing"

	"github.com/knell-auth/knell/events/eventstest"
)

// BenchmarkCredentials compares the verification of credentials that were verified before: what docs/api-keys.md says about
// their cost.
func BenchmarkCredentials(b *testing.B) {
	ctx := context.Background()
	log := eventstest.New(b)
	n, err := Start(ctx, Config{
		Name: "a", Dir: b.TempDir(), Log: log.Node("a"), Issuer: "https://knell.test", Audience: "api", Password: cheap, Basic: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		n.Close(ctx)
		log.Close()
	})
	scope := []string{"profile", "notes"}
	u := must(n.CreateUser(ctx, NewUser{Name: "alice", Password: alicePassword, Roles: []string{"reader"}, Scope: scope}, Origin{}))(b)
	session := must(n.Login(ctx, LoginRequest{Name: "alice", Password: alicePassword}))(b)
	_, key, err := n.CreateAPIKey(ctx, NewAPIKey{User: u.ID, Name: "bench", Scope: scope}, Origin{})
	if err != nil {
		b.Fatal(err)
	}
	err = n.CreateClient(ctx, NewClient{ID: "service", Secret: "a secret of 32 bytes, or there about"}, Origin{})
	if err != nil {
		b.Fatal(err)
	}
	origin := Origin{Address: "192.0.2.7"}
	for _, c := range []struct {
		name   string
		verify func() error
	}{
		{"access token", func() error { _, err := n.Verify(ctx, session.AccessToken); return err }},
		{"API key", func() error { _, err := n.Verify(ctx, key); return err }},
		{"Basic", func() error { _, err := n.VerifyBasic(ctx, "alice", alicePassword, origin); return err }},
		{"client secret", func() error {
			return authenticate(ctx, n, "service", "a secret of 32 bytes, or there about", origin)
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.verify(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
