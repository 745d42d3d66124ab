"""What the scripts beside this one share: the installation that they talk to, and how they say what they have seen."""

import os

import requests

ISSUER = os.environ["ISSUER"]  # a balancer before all replicas
REPLICAS = os.environ["REPLICAS"].split(",")
AUDIENCE = os.environ["AUDIENCE"]
CLIENT_ID, CLIENT_SECRET = os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"]
USER, PASSWORD = os.environ["USER_NAME"], os.environ["USER_PASSWORD"]


def same(what, got, want):
    if got != want:
        raise SystemExit(f"{what}: got {got!r}, want {want!r}")
    print(f"{what}: {got!r}")


def verified(what, token, status):
    """Every replica answers /verify with the status."""
    for base in REPLICAS:
        answer = requests.get(base + "/verify", headers={"Authorization": "Bearer " + token}, timeout=10)
        same(f"{what} at {base}", answer.status_code, status)
