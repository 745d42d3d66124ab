// openid-client: password, refresh, client credentials, introspection and revocation, and a log-in with a code.

import * as oidc from "openid-client";
import { client, issuer, logInAt, logout, same, user, verified } from "./check.mjs";

const config = await oidc.discovery(issuer, client.id, client.secret, undefined, { execute: [oidc.allowInsecureRequests] });
const own = await oidc.clientCredentialsGrant(config, { scope: "notes" });
await verified("client's token", own.access_token, 200);
same("introspection", (await oidc.tokenIntrospection(config, own.access_token)).active, true);
await oidc.tokenRevocation(config, own.access_token);
await verified("revoked token", own.access_token, 401);

const first = await oidc.genericGrantRequest(config, "password", { username: user.name, password: user.password, scope: "notes" });
const second = await oidc.refreshTokenGrant(config, first.refresh_token);
await verified("refreshed token", second.access_token, 200);
await oidc.tokenRevocation(config, second.refresh_token);
await verified("token of a session that was ended", second.access_token, 401);
await oidc.refreshTokenGrant(config, second.refresh_token).then(
  () => { throw new Error("refreshed after the revocation"); },
  (e) => same("refresh after the revocation", e.error, "invalid_grant"));

const pkceCodeVerifier = oidc.randomPKCECodeVerifier(), expectedState = oidc.randomState(), expectedNonce = oidc.randomNonce();
const url = oidc.buildAuthorizationUrl(config, {
  redirect_uri: client.redirect, scope: "openid notes", state: expectedState, nonce: expectedNonce,
  code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: "S256",
});
const tokens = await oidc.authorizationCodeGrant(config, await logInAt(url),
  { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true });
const info = await oidc.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
same("user", info.sub, tokens.claims().sub);
await logout(tokens.access_token);
await verified("after the logout", tokens.access_token, 401);
