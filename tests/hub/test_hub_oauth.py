"""Signing in, as Gradio does it in a Space, at the Hub on loopback; and what is refused."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from hub_oauth import App, OAuthProvider
from hub_server import LoopbackHub

REDIRECT = "http://testserver/login/callback"
SCOPES = "openid profile contribute-repos"


@pytest.fixture
def provider(hub: LoopbackHub) -> OAuthProvider:
    found = hub.settings.oauth = OAuthProvider(hub.url)
    found.apps["the app"] = App("s3cret:%", (REDIRECT,))
    found.signed_in = "alice"
    return found


def ask(provider: OAuthProvider, **changes: str | None) -> httpx.Response:
    asked = {"client_id": "the app", "redirect_uri": REDIRECT, "response_type": "code",
             "scope": SCOPES, "state": "abc", "nonce": "n", **changes}  # fmt: skip
    given = {name: value for name, value in asked.items() if value is not None}
    return httpx.get(f"{provider.issuer}/oauth/authorize?{urlencode(given)}")


def told(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 302, answer.text
    place = urlsplit(answer.headers["Location"])
    return {name: values[0] for name, values in parse_qs(place.query).items()}


def redeem(provider: OAuthProvider, code: str, **changes: str) -> httpx.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT,
            "client_id": "the app", "client_secret": "s3cret:%", **changes}  # fmt: skip
    return httpx.post(f"{provider.issuer}/oauth/token", data=form)


@pytest.fixture
def app(provider: OAuthProvider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Gradio's own routes for signing in, behind a client that keeps cookies."""
    oauth = pytest.importorskip("gradio.oauth")
    from fastapi import FastAPI
    from starlette.middleware.sessions import SessionMiddleware
    from starlette.responses import JSONResponse
    from starlette.testclient import TestClient

    monkeypatch.setattr(oauth, "OAUTH_CLIENT_ID", "the app")
    monkeypatch.setattr(oauth, "OAUTH_CLIENT_SECRET", "s3cret:%")
    monkeypatch.setattr(oauth, "OAUTH_SCOPES", SCOPES)
    monkeypatch.setattr(oauth, "OPENID_PROVIDER_URL", provider.issuer)
    made = FastAPI()
    oauth._add_oauth_routes(made)
    made.add_middleware(SessionMiddleware, secret_key="for the test")

    async def session(request: Any) -> JSONResponse:
        return JSONResponse(request.session.get("oauth_info"))

    made.add_route("/session", session)
    with TestClient(made, follow_redirects=False) as client:
        yield client


def test_gradio_signs_somebody_in(app: Any, provider: OAuthProvider) -> None:
    first = app.get("/login/huggingface?_target_url=/page")
    assert first.status_code == 302
    there = httpx.get(first.headers["Location"])
    back = app.get(there.headers["Location"])
    assert back.headers["Location"] == "/page"
    found = app.get("/session").json()
    assert found["scope"] == SCOPES
    assert found["userinfo"]["preferred_username"] == "alice"
    assert found["userinfo"]["iss"] == provider.issuer
    token = found["access_token"]
    assert provider.tokens[token].who == "alice"
    who = httpx.get(
        f"{provider.issuer}/oauth/userinfo", headers={"Authorization": f"Bearer {token}"}
    )
    assert who.json()["preferred_username"] == "alice"
    # The answer of another sign-in is not taken: Gradio begins anew.
    again = app.get(f"/login/callback?code={'x' * 20}&state=another")
    assert again.headers["Location"].startswith("/login/huggingface")


def test_who_does_not_consent_is_not_signed_in(app: Any, provider: OAuthProvider) -> None:
    provider.signed_in = None
    first = app.get("/login/huggingface")
    there = httpx.get(first.headers["Location"])
    assert told(there)["error"] == "access_denied"
    assert not provider.tokens


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "openid manage-repos"}, "invalid_scope"),
        ({"scope": "openid everything"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"state": None}, "invalid_request"),
        ({"code_challenge": "abc", "code_challenge_method": "plain"}, "invalid_request"),
    ],
)
def test_what_an_app_may_not_ask(
    provider: OAuthProvider, changes: dict[str, str | None], error: str
) -> None:
    assert told(ask(provider, **changes)).get("error") == error


@pytest.mark.parametrize(
    "changes",
    [{"client_id": "another"}, {"redirect_uri": "http://evil/login/callback"},
     {"redirect_uri": f"{REDIRECT}/../x"}],
)  # fmt: skip
def test_nothing_is_sent_to_a_stranger(provider: OAuthProvider, changes: dict[str, str]) -> None:
    assert ask(provider, **changes).status_code == 400


def test_a_code_is_good_once_and_for_its_app_and_address(provider: OAuthProvider) -> None:
    provider.apps["other"] = App("other", (REDIRECT,))

    def code() -> str:
        return told(ask(provider))["code"]

    for changes, error in (
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_id": "other", "client_secret": "other"}, "invalid_grant"),
        ({"redirect_uri": "http://testserver/elsewhere"}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"code": "made up"}, "invalid_grant"),
    ):
        assert redeem(provider, **{"code": code(), **changes}).json() == {"error": error}
    own = code()
    assert redeem(provider, own).status_code == 200
    assert redeem(provider, own).json() == {"error": "invalid_grant"}


def test_the_proof_key_is_looked_at(provider: OAuthProvider) -> None:
    verifier = "v" * 50
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    for given, status in ((verifier, 200), ("w" * 50, 400), ("", 400)):
        asked = ask(provider, code_challenge=challenge, code_challenge_method="S256")
        assert redeem(provider, told(asked)["code"], code_verifier=given).status_code == status


def test_a_token_ends(provider: OAuthProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    import hub_oauth

    found = redeem(provider, told(ask(provider))["code"]).json()
    headers = {"Authorization": f"Bearer {found['access_token']}"}
    assert httpx.get(f"{provider.issuer}/api/whoami-v2", headers=headers).json()["name"] == "alice"
    later = hub_oauth.time.time() + hub_oauth.LIFE + 1
    monkeypatch.setattr(hub_oauth.time, "time", lambda: later)
    assert httpx.get(f"{provider.issuer}/api/whoami-v2", headers=headers).status_code == 401
    assert httpx.get(f"{provider.issuer}/oauth/userinfo", headers=headers).status_code == 401
