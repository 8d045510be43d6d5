"""Signing in at the Hub on loopback: OAuth 2.0 with OpenID Connect, as an app in a Space uses it.

The authorization code flow (RFC 6749, section 4.1) with PKCE where the app sends it (RFC 7636), an
ID token signed with RS256, and scopes that are kept to. Nobody is asked for consent: whoever
``signed_in`` names has given it. An access token of the scope ``contribute-repos`` may create
repositories and write to those that its app has created, and to no others.

    hub.oauth = OAuthProvider(hub.url)
    hub.oauth.apps["id"] = App("secret", ("http://127.0.0.1:7860/login/callback",))
    hub.oauth.signed_in = "alice"
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from hub_store import HubFault
from joserfc import jwt
from joserfc.jwk import RSAKey

if TYPE_CHECKING:
    from hub_handler import HubHandler

PATHS = ("/.well-known/openid-configuration", "/oauth/authorize", "/oauth/token",
         "/oauth/userinfo", "/oauth/jwks")  # fmt: skip
SCOPES = ("openid", "profile", "email", "read-repos", "contribute-repos", "write-repos",
          "manage-repos")  # fmt: skip
LIFE = 8 * 60 * 60
CODE_LIFE = 60


@dataclass(frozen=True)
class App:
    """An app that people sign in to.

    Attributes:
        secret: what it proves itself with.
        redirects: addresses that a code may be sent to, without their queries.
        scopes: that it may ask for.
    """

    secret: str
    redirects: tuple[str, ...]
    scopes: tuple[str, ...] = ("openid", "profile", "contribute-repos")


@dataclass(frozen=True)
class Grant:
    """What somebody has allowed an app to do."""

    who: str
    app: str
    scopes: tuple[str, ...]
    until: float


@dataclass(frozen=True)
class Code:
    grant: Grant
    redirect: str
    nonce: str | None
    challenge: str | None


@dataclass
class OAuthProvider:
    """The signing in of one server.

    Attributes:
        issuer: its address.
        apps: by client id.
        signed_in: whose browser it is; ``None``: nobody's, and signing in is refused.
        tokens: what has been granted, by access token.
        created: repositories, (kind, name), by the app that created them.
    """

    issuer: str
    apps: dict[str, App] = field(default_factory=dict)
    signed_in: str | None = None
    tokens: dict[str, Grant] = field(default_factory=dict)
    created: dict[tuple[str, str], str] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "loopback"}))

    def grant(self, token: str) -> Grant | None:
        found = self.tokens.get(token)
        return found if found is not None and found.until > time.time() else None

    def may_write(self, grant: Grant, kind: str, name: str) -> bool:
        if {"write-repos", "manage-repos"} & set(grant.scopes):
            return True
        return "contribute-repos" in grant.scopes and self.created.get((kind, name)) == grant.app

    def may_see(self, grant: Grant, kind: str, name: str) -> bool:
        return "read-repos" in grant.scopes or self.may_write(grant, kind, name)

    def may_create(self, grant: Grant) -> bool:
        return bool({"contribute-repos", "manage-repos"} & set(grant.scopes))

    def answer(self, request: HubHandler) -> None:
        """Answer a request to one of :data:`PATHS`."""
        if request.url == PATHS[0]:
            request.send_json(self.configuration())
        elif request.url == "/oauth/jwks":
            request.send_json({"keys": [self.key.as_dict(private=False)]})
        elif request.url == "/oauth/authorize":
            self.authorize(request)
        elif request.url == "/oauth/userinfo":
            self.userinfo(request)
        elif request.command == "POST":
            self.token(request)
        else:
            raise HubFault(405, "a token is asked for with POST")

    def configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/oauth/authorize",
            "token_endpoint": f"{self.issuer}/oauth/token",
            "userinfo_endpoint": f"{self.issuer}/oauth/userinfo",
            "jwks_uri": f"{self.issuer}/oauth/jwks",
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "subject_types_supported": ["public"],
        }

    def authorize(self, request: HubHandler) -> None:
        asked = {name: values[0] for name, values in request.asked.items()}
        name, redirect = asked.get("client_id", ""), asked.get("redirect_uri", "")
        app = self.apps.get(name)
        # Whoever is not known, or where the answer is to go, is told to no other address.
        if app is None:
            raise HubFault(400, f"client_id {name!r} is not known")
        if urlsplit(redirect)._replace(query="", fragment="").geturl() not in app.redirects:
            raise HubFault(400, f"redirect_uri {redirect!r} is not one of this app")
        error = self.refusal(asked, app)
        back = {"error": error} if error else {"code": self.code(asked, name, redirect)}
        if "state" in asked:
            back["state"] = asked["state"]
        joined = f"{redirect}{'&' if urlsplit(redirect).query else '?'}{urlencode(back)}"
        request.send(302, b"", {"Location": joined}, "text/plain")

    def refusal(self, asked: dict[str, str], app: App) -> str:
        """Return why nothing is granted; empty if it is."""
        scopes = asked.get("scope", "").split()
        if asked.get("response_type") != "code":
            return "unsupported_response_type"
        if not asked.get("state"):
            return "invalid_request"
        if not scopes or not set(scopes) <= set(app.scopes) & set(SCOPES):
            return "invalid_scope"
        if "code_challenge" in asked and asked.get("code_challenge_method") != "S256":
            return "invalid_request"
        return "" if self.signed_in else "access_denied"

    def code(self, asked: dict[str, str], app: str, redirect: str) -> str:
        assert self.signed_in is not None
        code, scopes = secrets.token_urlsafe(24), tuple(asked["scope"].split())
        grant = Grant(self.signed_in, app, scopes, time.time() + CODE_LIFE)
        self.codes[code] = Code(grant, redirect, asked.get("nonce"), asked.get("code_challenge"))
        return code

    def token(self, request: HubHandler) -> None:
        asked = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        name, secret = self.credentials(request, asked)
        app = self.apps.get(name)
        if app is None or not secrets.compare_digest(app.secret, secret):
            request.send_json({"error": "invalid_client"}, 401)
            return
        if asked.get("grant_type") != "authorization_code":
            request.send_json({"error": "unsupported_grant_type"}, 400)
            return
        code = self.codes.pop(asked.get("code", ""), None)  # a code is good once
        if code is None or not self.fits(code, name, asked):
            request.send_json({"error": "invalid_grant"}, 400)
            return
        access = f"hf_oauth_{secrets.token_urlsafe(24)}"
        self.tokens[access] = Grant(code.grant.who, name, code.grant.scopes, time.time() + LIFE)
        told = {"access_token": access, "token_type": "bearer", "expires_in": LIFE,
                "scope": " ".join(code.grant.scopes)}  # fmt: skip
        if "openid" in code.grant.scopes:
            told["id_token"] = self.id_token(code)
        request.send_json(told, headers={"Cache-Control": "no-store"})

    @staticmethod
    def credentials(request: HubHandler, asked: dict[str, str]) -> tuple[str, str]:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "basic":
            return asked.get("client_id", ""), asked.get("client_secret", "")
        name, _, secret = base64.b64decode(given).decode().partition(":")
        return unquote(name), unquote(secret)

    @staticmethod
    def fits(code: Code, app: str, asked: dict[str, str]) -> bool:
        if code.grant.app != app or code.grant.until < time.time():
            return False
        if code.redirect != asked.get("redirect_uri"):
            return False
        if code.challenge is None:
            return True
        digest = hashlib.sha256(asked.get("code_verifier", "").encode()).digest()
        return code.challenge == base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def id_token(self, code: Code) -> str:
        now = int(time.time())
        claims = {**self.profile(code.grant), "iss": self.issuer, "aud": code.grant.app,
                  "iat": now, "auth_time": now, "exp": now + 3600}  # fmt: skip
        if code.nonce is not None:
            claims["nonce"] = code.nonce
        return jwt.encode({"alg": "RS256", "kid": "loopback"}, claims, self.key)

    def profile(self, grant: Grant) -> dict[str, Any]:
        sub = {"sub": hashlib.sha256(grant.who.encode()).hexdigest()[:24]}
        if "profile" not in grant.scopes:
            return sub
        return {**sub, "name": grant.who.title(), "preferred_username": grant.who,
                "profile": f"{self.issuer}/{grant.who}",
                "picture": f"{self.issuer}/avatars/{grant.who}.svg", "website": ""}  # fmt: skip

    def userinfo(self, request: HubHandler) -> None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        grant = self.grant(token)
        if grant is None:
            raise HubFault(401, "Invalid access token")
        request.send_json(json.loads(json.dumps(self.profile(grant))))
