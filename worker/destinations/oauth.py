"""OAuth2 client credentials (RFC 6749, 4.4): one token a process, fetched inside the deadline of the call it is for.

No secret and no token ever stands in a reply, a log line or a ``repr``.
"""

import datetime as dt
import json
import re
import threading
from base64 import b64encode
from collections.abc import Callable
from urllib.parse import quote, urlencode

from worker.calls import Outcome, Reply
from worker.destinations.answers import DEFAULT_WAIT_S, Raw, retry_after_s
from worker.destinations.client import KeptClient
from worker.destinations.deadline import left_s
from worker.destinations.spec import OAuth

EARLY_S = 30.0
"""How long before its end a token is fetched anew; a tenth of its life when that is shorter."""
UNSTATED_S = 300.0
"""How long a token is used that does not say how long it lives."""

_CODE = re.compile(r"[a-z_]{1,40}")


class TokenKeeper:
    """Keeps one token. Safe to use from several threads: one fetches, the others wait for it."""

    def __init__(
        self,
        oauth: OAuth,
        *,
        base_url: str,
        client_id: Callable[[], str],
        client_secret: Callable[[], str],
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._oauth = oauth
        self._url = base_url + oauth.token_url if oauth.token_url.startswith("/") else oauth.token_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._clock = clock
        self._token: str | None = None
        self._until = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._fetching = threading.Lock()

    def __repr__(self) -> str:
        return f"TokenKeeper(url={self._url!r})"

    def token(self, client: KeptClient, *, refused: str | None = None) -> str | Reply:
        """Return a token, or why there is none; ``refused``: one that has just been answered 401."""
        if not self._fetching.acquire(timeout=max(min(left_s(), threading.TIMEOUT_MAX), 0.0)):
            return Reply(outcome=Outcome.UNREACHED, message="no token within the deadline of the call")
        try:
            if self._token is not None and self._token != refused and self._clock() < self._until:
                return self._token
            self._token = None
            return self._fetch(client)
        finally:
            self._fetching.release()

    def secrets(self) -> tuple[str, ...]:
        """Return what must not be shown."""
        return tuple(secret for secret in (self._client_secret(), self._token) if secret)

    def _fetch(self, client: KeptClient) -> str | Reply:
        name, secret = self._client_id(), self._client_secret()
        if not name or not secret:
            return Reply(outcome=Outcome.UNAUTHORIZED, message="the client id or the client secret is empty")
        form = {"grant_type": "client_credentials", **({"scope": self._oauth.scope} if self._oauth.scope else {})}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if self._oauth.in_body:
            form |= {"client_id": name, "client_secret": secret}
        else:
            pair = f"{quote(name, safe='')}:{quote(secret, safe='')}"  # RFC 6749, 2.3.1
            headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
        asked_at = self._clock()
        raw = client.exchange("POST", self._url, content=urlencode(form).encode(), headers=headers)
        if isinstance(raw, Reply):
            return Reply(outcome=Outcome.UNREACHED, message=f"no token: {raw.message}")
        return self._keep(raw, asked_at)

    def _keep(self, raw: Raw, asked_at: dt.datetime) -> str | Reply:
        told = _read(raw.body)
        token = told.get("access_token")
        if raw.status != 200 or not isinstance(token, str) or not token.isascii() or not token.isprintable():
            return _refusal(raw, told, asked_at)
        lives = told.get("expires_in")
        lives_s = float(lives) if isinstance(lives, int | float) and 0 < lives < 1e9 else UNSTATED_S
        self._until = asked_at + dt.timedelta(seconds=lives_s - min(EARLY_S, lives_s / 10))
        self._token = token.strip()
        return self._token


def _refusal(raw: Raw, told: dict[str, object], now: dt.datetime) -> Reply:
    """Return why there is no token. Whatever it is, nothing was written; the answer itself is not kept."""
    code = told.get("error")
    named = f": {code}" if isinstance(code, str) and _CODE.fullmatch(code) else ""
    if raw.status in (400, 401, 403):
        message = f"the client credentials were refused ({raw.status}){named}"
        return Reply(outcome=Outcome.UNAUTHORIZED, status=raw.status, message=message)
    if raw.status == 429:
        wait = retry_after_s(raw.headers.get("retry-after"), now)
        message = "asked for a token too often"
        return Reply(
            outcome=Outcome.LIMITED,
            status=raw.status,
            message=message,
            retry_after_s=DEFAULT_WAIT_S if wait is None else wait,
        )
    message = f"no token: answered {raw.status}{named}"
    return Reply(outcome=Outcome.UNREACHED, status=raw.status, message=message)


def _read(body: bytes) -> dict[str, object]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
