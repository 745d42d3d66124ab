"""requests-oauthlib as a client: password, client credentials, and a refresh that it makes by itself."""

from oauthlib.oauth2 import BackendApplicationClient, InvalidGrantError, LegacyApplicationClient
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from check import CLIENT_ID, CLIENT_SECRET, ISSUER, PASSWORD, REPLICAS, USER, same, verified

auth = HTTPBasicAuth(CLIENT_ID, CLIENT_SECRET)

backend = OAuth2Session(client=BackendApplicationClient(client_id=CLIENT_ID, scope=["jobs"]))
token = backend.fetch_token(ISSUER + "/token", auth=auth)
same("scope", list(token["scope"]), ["jobs"])
same("request with the session", backend.get(REPLICAS[2] + "/verify", timeout=10).headers["X-Knell-Scopes"], "jobs")

# In the form in place of Basic.
backend = OAuth2Session(client=BackendApplicationClient(client_id=CLIENT_ID, scope=["jobs"]))
token = backend.fetch_token(ISSUER + "/token", client_id=CLIENT_ID, client_secret=CLIENT_SECRET, include_client_id=True)
verified("by the form", token["access_token"], 200)

saved = []
legacy = OAuth2Session(client=LegacyApplicationClient(client_id=CLIENT_ID, scope=["notes"]), auto_refresh_url=ISSUER + "/token",
                       auto_refresh_kwargs={"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}, token_updater=saved.append)
first = legacy.fetch_token(ISSUER + "/token", username=USER, password=PASSWORD, auth=auth)
same("scope", list(first["scope"]), ["notes"])
verified("first token", first["access_token"], 200)

# It refreshes by itself what it takes for expired.
legacy.token = {**first, "expires_in": -1, "expires_at": 1}
answer = legacy.get(REPLICAS[0] + "/verify", timeout=10)
same("request that refreshes", answer.status_code, 200)
same("number of refreshes", len(saved), 1)
same("another token", saved[0]["access_token"] != first["access_token"], True)

# It logs out as any HTTP client does, and then neither token nor refresh token is good.
same("logout", legacy.post(REPLICAS[1] + "/logout", timeout=60).status_code, 204)
verified("after the logout", saved[0]["access_token"], 401)
try:
    legacy.refresh_token(ISSUER + "/token", refresh_token=saved[0]["refresh_token"])  # with what auto_refresh_kwargs say
    raise SystemExit("refreshed after the logout")
except InvalidGrantError as e:
    same("refresh after the logout", e.error, "invalid_grant")

try:
    OAuth2Session(client=LegacyApplicationClient(client_id=CLIENT_ID)).fetch_token(
        ISSUER + "/token", username=USER, password="not-the-password", auth=auth)
    raise SystemExit("a wrong password was accepted")
except InvalidGrantError as e:
    same("wrong password", e.error, "invalid_grant")
