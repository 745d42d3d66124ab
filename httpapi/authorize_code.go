package httpapi

import (
	"context"

	"github.com/knell-auth/knell/node"
)

// redeemCode is RFC 6749 section 4.1.3 with RFC 7636 section 4.5: the grant authorization_code of the token endpoint. A public
// client names itself by client_id.
func (a *api) redeemCode(ctx context.Context, req tokenRequest) (node.Tokens, error) {
	switch {
	case req.client.id == "":
		return node.Tokens{}, node.ErrInvalidClient
	case req.scope != nil:
		return node.Tokens{}, badRequest("the scope was settled by the authorization request")
	}
	return a.n.RedeemCode(ctx, node.CodeRedemption{
		Code: req.form["code"], Client: req.client.id, Redirect: req.form["redirect_uri"], Verifier: req.form["code_verifier"],
		Origin: req.origin, ClientSeq: req.seq,
	})
}
