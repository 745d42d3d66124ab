package httpapi

import (
	"context"

	"github.com/knell-auth/knell/node"
)

func (s *scripted) Issuer() string { return "https://knell.test" }
func (s *scripted) RevokeToken(ctx context.Context, _, _ string, o node.Origin) error {
	return s.Logout(ctx, "", o)
}
func (s *scripted) Introspect(context.Context, string, string) (node.TokenInfo, bool, error) {
	return node.TokenInfo{}, false, s.err
}
func (s *scripted) JWKS() ([]byte, error)                                { return nil, s.err }
func (s *scripted) Keys() []node.SigningKey                              { return nil }
func (s *scripted) RevokeKey(context.Context, string, node.Origin) error { return s.err }
