// jose verifies tokens by the JWKS, as services do that do not ask Knell.

import { createRemoteJWKSet, errors, jwtVerify } from "jose";
import assert from "node:assert/strict";
import { audience, client, clientToken, issuer, same } from "./check.mjs";

const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", issuer));
const options = {
  issuer: issuer.href.replace(/\/$/, ""), audience, typ: "at+jwt",
  requiredClaims: ["iss", "aud", "exp", "iat", "sub", "client_id", "jti", "scope"],
};
const token = await clientToken();
const { payload, protectedHeader } = await jwtVerify(token, keys, options);
same("subject", [payload.sub, payload.client_id, payload.scope], [client.id, client.id, "notes"]);
same("type", protectedHeader.typ, "at+jwt");

const [head, body, signature] = token.split(".");
const other = (await clientToken()).split(".");
await assert.rejects(jwtVerify([head, other[1], signature].join("."), keys, options), errors.JWSSignatureVerificationFailed);
await assert.rejects(jwtVerify([head, body, other[2]].join("."), keys, options), errors.JWSSignatureVerificationFailed);
await assert.rejects(jwtVerify(token, keys, { ...options, audience: "another" }), errors.JWTClaimValidationFailed);
