"""Where webhooks may go; sign them, and verify a signature. Pure.

``verify`` stands in ``docs/webhooks.md`` word for word, for receivers to copy.
"""

import hashlib
import hmac
import ipaddress
from urllib.parse import urlsplit


def sign(secret: str, body: bytes, *, at_s: int) -> str:
    """Return the signature of a body sent at a Unix time: ``t=<unix>,v1=<hex>`` of HMAC-SHA256 over ``t.body``."""
    digest = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256)
    return f"t={at_s},v1={digest.hexdigest()}"


def verify(secret: str, header: str, body: bytes, now: float, tolerance_s: float = 300) -> bool:
    """Say whether a webhook is signed with the secret, and was sent within the last minutes."""
    parts = {name: value for name, _, value in (part.strip().partition("=") for part in header.split(","))}
    sent, given = parts.get("t", ""), parts.get("v1", "")
    if not (sent.isascii() and sent.isdigit() and len(sent) < 13 and abs(now - int(sent)) <= tolerance_s):
        return False
    expected = hmac.new(secret.encode(), f"{sent}.".encode() + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))


def check_webhook_url(url: str, *, allow_http: bool) -> None:
    """Raise ValueError for a URL that no webhook may be sent to: plain HTTP is for this host alone."""
    parts = urlsplit(url)
    if not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise ValueError('url is written "https://host/path", without a user or a fragment')
    if parts.scheme == "http" and not allow_http and not _is_loopback(parts.hostname):
        raise ValueError("url must begin with https://, since its host is not this one; or set allow_http = true")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
