"""Access tokens of Google: from a refresh token of a person, or signed by a service account (RFC 7523)."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

from activation.destinations.calls import ask, raise_for_status, unusable
from activation.syncs.clock import Clock
from activation.syncs.contract import DestinationMisconfiguredError

SCOPE = "https://www.googleapis.com/auth/datamanager"
_MARGIN_SECONDS = 60
"""A token is renewed before it ends, so that it does not end on the way."""
_LIFETIME_SECONDS = 3600
_PASSING = frozenset({"temporarily_unavailable", "server_error", "internal_failure"})

Grant = Callable[[float], dict[str, str]]
"""The form that asks for a token, at a time."""


def refresh_grant(client_id: str, client_secret: str, refresh_token: str) -> Grant:
    """With what `gcloud` or an own consent screen gave for a person."""
    form = {"client_id": client_id, "client_secret": client_secret, "refresh_token": refresh_token}
    return lambda now: {"grant_type": "refresh_token", **form}


def service_account_grant(key_file: str, variable: str) -> Grant:
    """With a service account's key, the JSON that Google hands out.

    Raises DestinationMisconfiguredError, which names the variable only, where it is none or `cryptography` is not installed.
    """
    try:
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415
    except ImportError:
        raise DestinationMisconfiguredError(
            "Service accounts need the extra of Google: pip install 'weft[google]'."
        ) from None
    try:
        key = json.loads(key_file)
        signer = serialization.load_pem_private_key(key["private_key"].encode(), password=None)
        email, key_id, audience = str(key["client_email"]), str(key["private_key_id"]), str(key["token_uri"])
    except (ValueError, TypeError, KeyError, AttributeError):
        signer = None
    if not isinstance(signer, rsa.RSAPrivateKey):
        raise DestinationMisconfiguredError(
            f"The environment variable {variable} does not hold the JSON key of a service account."
        )

    def grant(now: float) -> dict[str, str]:
        issued = int(now)
        claims = {"iss": email, "scope": SCOPE, "aud": audience, "iat": issued, "exp": issued + _LIFETIME_SECONDS}
        signed = f"{_part({'alg': 'RS256', 'typ': 'JWT', 'kid': key_id})}.{_part(claims)}"
        signature = signer.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        assertion = f"{signed}.{_base64url(signature)}"
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}

    return grant


class AccessToken:
    """A token that is asked for when it is needed, and kept until it ends."""

    def __init__(self, client: httpx.Client, path: str, grant: Grant, *, name: str, clock: Clock) -> None:
        self._client, self._path, self._grant = client, path, grant
        self._name, self._clock = name, clock
        self._token, self._ends_at = "", 0.0

    def value(self) -> str:
        """A token that is still good. Raises DestinationMisconfiguredError where Google gives none."""
        if self._clock.now() >= self._ends_at:
            self._renew()
        return self._token

    def forget(self) -> None:
        """It was refused: the next one is a new one."""
        self._ends_at = 0.0

    def _renew(self) -> None:
        answer = ask(self._client, self._name, "POST", self._path, data=self._grant(self._clock.now()))
        told = answer.content if isinstance(answer.content, dict) else {}
        error = told.get("error")
        if isinstance(error, str) and error not in _PASSING and answer.status < 500:
            # the code is one of RFC 6749's; the description may repeat what was sent
            code = error if error.replace("_", "").isalpha() else "unknown"
            raise DestinationMisconfiguredError(
                f"{self._name}: Google gives no access token ({code}); make the credentials anew, or give them back their right."
            )
        raise_for_status(answer, self._name, self._clock)
        token, lifetime = told.get("access_token"), told.get("expires_in")
        if not isinstance(token, str) or not isinstance(lifetime, int | float):
            raise unusable(self._name)
        self._token, self._ends_at = token, self._clock.now() + max(0.0, lifetime - _MARGIN_SECONDS)


def parted(url: str) -> tuple[str, str]:
    """A URL as the base that a client is made for, and the path below it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}", parts.path


def _part(content: dict[str, Any]) -> str:
    return _base64url(json.dumps(content, separators=(",", ":")).encode())


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
