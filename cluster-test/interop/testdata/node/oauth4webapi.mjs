// oauth4webapi, which checks answers by the letter of the RFCs: discovery, client credentials, introspection, revocation, JWT access
// tokens (RFC 9068), and the authorization code with PKCE.

import * as oauth from "oauth4webapi";
import { audience, client as ours, issuer, logInAt, logout, same, user, verified } from "./check.mjs";

const insecure = { [oauth.allowInsecureRequests]: true };
const client = { client_id: ours.id };

for (const algorithm of ["oauth2", "oidc"]) {
  const answer = await oauth.discoveryRequest(issuer, { algorithm, ...insecure });
  const as = await oauth.processDiscoveryResponse(issuer, answer);
  for (const auth of [oauth.ClientSecretBasic(ours.secret), oauth.ClientSecretPost(ours.secret)]) {
    const granted = await oauth.processClientCredentialsResponse(as, client,
      await oauth.clientCredentialsGrantRequest(as, client, auth, new URLSearchParams({ scope: "notes" }), insecure));
    same("scope", [granted.scope, granted.token_type], ["notes", "bearer"]);
    const request = new Request("https://service.test/", { headers: { authorization: "Bearer " + granted.access_token } });
    const claims = await oauth.validateJwtAccessToken(as, request, audience, insecure);
    same("claims", [claims.sub, claims.client_id, claims.scope], [ours.id, ours.id, "notes"]);

    const token = granted.access_token;
    const seen = await oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, auth, token, insecure));
    same("introspection", [seen.active, seen.client_id], [true, ours.id]);
    await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, token, insecure));
    await verified("revoked token", token, 401);
    const after = await oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, auth, token, insecure));
    same("introspection afterwards", after, { active: false });
  }
}

// A person logs in at the page.
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));
const auth = oauth.ClientSecretBasic(ours.secret);
const verifier = oauth.generateRandomCodeVerifier(), state = oauth.generateRandomState(), nonce = oauth.generateRandomNonce();
const url = new URL(as.authorization_endpoint);
url.search = new URLSearchParams({
  client_id: ours.id, redirect_uri: ours.redirect, response_type: "code", scope: "openid notes", state, nonce,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
});
const callback = oauth.validateAuthResponse(as, client, await logInAt(url), state); // checks iss (RFC 9207)
const exchange = () => oauth.authorizationCodeGrantRequest(as, client, auth, callback, ours.redirect, verifier, insecure);
const answer = await exchange();
const tokens = await oauth.processAuthorizationCodeResponse(as, client, answer, { expectedNonce: nonce, requireIdToken: true });
await oauth.validateApplicationLevelSignature(as, answer, insecure);
const claims = oauth.getValidatedIdTokenClaims(tokens);
const info = await oauth.processUserInfoResponse(as, client, claims.sub,
  await oauth.userInfoRequest(as, client, tokens.access_token, insecure));
same("user", info.sub, claims.sub);
const refreshed = await oauth.processRefreshTokenResponse(as, client,
  await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, insecure));
await verified("refreshed token", refreshed.access_token, 200);
await logout(refreshed.access_token);
await verified("after the logout", refreshed.access_token, 401);
await oauth.processAuthorizationCodeResponse(as, client, await exchange()).then(
  () => { throw new Error("a code was good twice"); },
  (e) => same("code used again", e.error, "invalid_grant"));
