"""Webhooks out, at both ends: signatures, secrets, and which endpoints will do."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.rigs.endpoint import SECRET
from tests.rigs.gatepost import ROOT
from worker.deliver import read_secret
from worker.settings import Settings, Webhook
from worker.signing import sign, verify

HEADER = sign(SECRET, b"{}", at_s=1000)


@pytest.mark.parametrize(
    ("header", "body", "now", "good"),
    [
        (HEADER, b"{}", 1000, True),
        (HEADER, b"{}", 1300, True),
        (HEADER, b"{}", 700, True),
        (HEADER.replace(",", ", "), b"{}", 1000, True),
        (HEADER, b"{}", 1301, False),
        (HEADER, b"{}", 699, False),
        (HEADER, b"{ }", 1000, False),
        (HEADER.replace("t=1000", "t=1001"), b"{}", 1000, False),
        (HEADER.replace("v1=", "v0="), b"{}", 1000, False),
        (HEADER.split(",")[1], b"{}", 1000, False),
        ("t=1000", b"{}", 1000, False),
        ("t=1000,v1=", b"{}", 1000, False),
        ("t=1000,v1=\udcff\u00e9", b"{}", 1000, False),
        ("t=\u0661\u0660\u0660\u0660,v1=x", b"{}", 1000, False),
        (f"t={'9' * 5000},v1=x", b"{}", 1000, False),
        ("", b"{}", 1000, False),
    ],
)
def test_a_signature_holds_for_its_bytes_and_its_time(header: str, body: bytes, now: float, good: bool) -> None:
    """Only the very bytes, signed with the secret within five minutes, are taken; nothing that is sent raises."""
    assert verify(SECRET, header, body, now) is good


def test_the_documented_receiver_is_ours() -> None:
    """What a receiver copies from the page verifies what we sign."""
    page = (ROOT / "docs/webhooks.md").read_text("utf-8")
    code = page.partition("```py\n")[2].partition("```")[0]
    copied: dict[str, Any] = {}
    exec(compile(code, "docs/webhooks.md", "exec"), copied)
    assert copied["verify"](SECRET, HEADER, b"{}", 1000)
    assert not copied["verify"](SECRET, HEADER, b"{}", 2000)
    ours = (ROOT / "worker/signing.py").read_text("utf-8")
    assert code.partition("def verify")[2].strip() in ours


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"url": "http://example.com/x"}, "https"),
        ({"url": "http://127.0.0.1.example.com/x"}, "https"),
        ({"url": "http://user@127.0.0.1/x"}, "user"),
        ({"url": "https://example.com/x#y"}, "fragment"),
        ({"url": "ftp://example.com/x"}, "url"),
        ({"url": "https://"}, "url"),
        ({"secret_env": None}, "secret"),
        ({"secret_file": "x"}, "secret"),
        ({"events": []}, "events"),
        ({"events": ["mail.read"]}, "events"),
        ({"name": "A B"}, "name"),
        ({"timeout_s": 11}, "timeout_s"),
    ],
)
def test_a_webhook_that_would_not_do_is_refused(values: dict[str, Any], says: str) -> None:
    """A wrong endpoint is an error of the configuration, not of the first delivery."""
    whole = {"name": "one", "url": "https://example.com/x", "events": ["mail.held"], "secret_env": "S"}
    assert Webhook.model_validate(whole)
    with pytest.raises(ValidationError, match=says):
        Webhook.model_validate({**whole, **values})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8/x", "http://[::1]/x", "http://localhost/x", "https://example.com"])
def test_plain_http_stays_on_this_host(url: str) -> None:
    """Plain HTTP is taken to this host, and elsewhere only where it is allowed by name."""
    whole = {"name": "one", "events": ["mail.held"], "secret_env": "S"}
    assert Webhook.model_validate({**whole, "url": url}).url == url
    far = "http://example.com/x"
    assert Webhook.model_validate({**whole, "url": far, "allow_http": True}).url == far


def test_two_webhooks_of_one_name_are_refused() -> None:
    """A name tells deliveries apart."""
    one = {"name": "one", "url": "https://example.com/x", "events": ["mail.held"], "secret_env": "S"}
    with pytest.raises(ValidationError, match="webhook one is there twice"):
        Settings.model_validate({"webhook": [one, one]})


def test_a_secret_comes_from_its_file(tmp_path: Path) -> None:
    """A secret file is read anew each time; without one there is no secret."""
    path = tmp_path / "secret"
    values = {"name": "one", "url": "https://example.com/x", "events": ["mail.held"], "secret_file": str(path)}
    webhook = Webhook.model_validate(values)
    assert read_secret(webhook) == ""
    path.write_text("first\n", "utf-8")
    assert read_secret(webhook) == "first"
    path.write_text("second", "utf-8")
    assert read_secret(webhook) == "second"
