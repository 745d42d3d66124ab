"""Authlib as a client of the token endpoint, of introspection and revocation, and as a resource server that trusts the JWKS."""

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, JsonWebToken
from authlib.jose.errors import BadSignatureError

from check import AUDIENCE, CLIENT_ID, CLIENT_SECRET, ISSUER, PASSWORD, REPLICAS, USER, same, verified

metadata = requests.get(ISSUER + "/.well-known/oauth-authorization-server", timeout=10).json()
same("issuer", metadata["issuer"], ISSUER)
TOKEN, REVOKE, INTROSPECT = (metadata[name + "_endpoint"] for name in ("token", "revocation", "introspection"))


def decode(token):
    keys = JsonWebKey.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())
    claims = JsonWebToken(["EdDSA", "ES256", "RS256"]).decode(token, keys, claims_options={
        "iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": AUDIENCE}, "exp": {"essential": True},
        "sub": {"essential": True}, "jti": {"essential": True}, "client_id": {"essential": True}, "iat": {"essential": True},
    })
    claims.validate()
    return claims


for method in ("client_secret_basic", "client_secret_post"):
    session = OAuth2Session(CLIENT_ID, CLIENT_SECRET, token_endpoint_auth_method=method, scope="notes")

    # A client's own token.
    token = session.fetch_token(TOKEN, grant_type="client_credentials")
    same("token type", token["token_type"], "Bearer")
    same("scope", token["scope"], "notes")
    same("refresh token of a client", token.get("refresh_token"), None)
    claims = decode(token["access_token"])
    same("subject", claims["sub"], CLIENT_ID)
    same("request with the session", session.get(REPLICAS[1] + "/verify", timeout=10).status_code, 200)
    verified("client's token", token["access_token"], 200)
    answer = session.introspect_token(INTROSPECT, token=token["access_token"], token_type_hint="access_token").json()
    same("introspection", (answer["active"], answer["client_id"], answer["scope"]), (True, CLIENT_ID, "notes"))
    same("revocation", session.revoke_token(REVOKE, token=token["access_token"], token_type_hint="access_token").status_code, 200)
    verified("revoked token", token["access_token"], 401)
    same("introspection afterwards", session.introspect_token(INTROSPECT, token=token["access_token"]).json(), {"active": False})

    # A user's, by password; it is refreshed at another replica, and its old refresh token is good for a moment.
    session = OAuth2Session(CLIENT_ID, CLIENT_SECRET, token_endpoint_auth_method=method, scope="notes")
    first = session.fetch_token(REPLICAS[0] + "/token", username=USER, password=PASSWORD, grant_type="password")
    claims = decode(first["access_token"])
    same("scope of both", claims["scope"], "notes")
    same("roles without the scope roles", claims.get("roles"), None)
    second = session.refresh_token(REPLICAS[1] + "/token", refresh_token=first["refresh_token"])
    again = session.refresh_token(REPLICAS[2] + "/token", refresh_token=first["refresh_token"])
    same("the same successor", decode(again["access_token"])["sid"], decode(second["access_token"])["sid"])
    verified("refreshed token", second["access_token"], 200)

    # Revoking the refresh token ends the session (RFC 7009 section 2.1).
    revoked = session.revoke_token(REVOKE, token=again["refresh_token"], token_type_hint="refresh_token")
    same("revocation of a refresh token", revoked.status_code, 200)
    verified("token of the session", second["access_token"], 401)
    try:
        session.refresh_token(TOKEN, refresh_token=again["refresh_token"])
        raise SystemExit("refreshed after the revocation")
    except OAuthError as e:
        same("refresh after the revocation", e.error, "invalid_grant")

    # A signature of another token is none.
    head, body, _ = first["access_token"].split(".")
    try:
        decode(head + "." + body + "." + second["access_token"].split(".")[2])
        raise SystemExit("a wrong signature was accepted")
    except BadSignatureError as e:
        same("wrong signature", e.error, "bad_signature")

try:
    OAuth2Session(CLIENT_ID, "wrong-secret").fetch_token(TOKEN, grant_type="client_credentials")
    raise SystemExit("a wrong secret was accepted")
except OAuthError as e:
    same("wrong secret", e.error, "invalid_client")
