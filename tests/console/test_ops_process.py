"""The operator API and webhooks of a running program."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.rigs.endpoint import SECRET, Endpoint
from tests.rigs.gatepost import Gatepost
from tests.rigs.services import free_port, wait_until
from worker.signing import verify

EVENT = {"event": "move_in", "unit": "B204", "pms_tenant_id": "T-1", "move_in_date": "2026-05-01", "id": "1"}


def config(port: int) -> str:
    """Return a configuration with one webhook to a port of this host."""
    return (
        f'[[webhook]]\nname = "crm"\nurl = "http://127.0.0.1:{port}/hook"\nevents = ["event.applied"]\n'
        'secret_env = "HOOK_SECRET"\n'
    )


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A listening endpoint."""
    made = Endpoint()
    yield made
    made.close()


def post(gatepost: Gatepost, token: str) -> httpx.Response:
    """Tell the event."""
    url = f"http://{gatepost.ports['web']}/ops/v1/events"
    body: dict[str, Any] = {"mailbox": "pmsevent@demo.test", **EVENT}
    return httpx.post(url, json=body, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=20)


def test_a_told_event_reaches_its_unit_and_the_webhook_says_so(tmp_path: Path, endpoint: Endpoint) -> None:
    """The token is made, printed and in the ready file; a told event is applied, and told to who listens."""
    port = int(endpoint.url.partition("127.0.0.1:")[2].partition("/")[0])
    with Gatepost(tmp_path / "one", config(port), HOOK_SECRET=SECRET) as gatepost:
        token = gatepost.ports["ops_token"]
        assert token in gatepost.log()
        assert "GATEPOST_OPS_TOKEN" in gatepost.log()
        assert post(gatepost, "wrong").status_code == 401
        assert [post(gatepost, token).status_code for _ in range(2)] == [202, 200]
        gatepost.settle()
        unit = gatepost.unit("PMSEVENT-B204")
        assert unit is not None
        assert (unit["occupied"], unit["pms_tenant_id"]) == (True, "T-1")
        wait_until(lambda: len(endpoint.got) == 1, what="the webhook")
        assert gatepost.terminate() == 0
    ((headers, body),) = endpoint.got
    sent_s = int(headers["x-gatepost-signature"].partition("t=")[2].partition(",")[0])
    assert verify(SECRET, headers["x-gatepost-signature"], body, sent_s)
    assert json.loads(body)["data"]["crm_unit_id"] == "PMSEVENT-B204"
    log = gatepost.log()
    assert "T-1" not in log
    assert SECRET not in log


def test_a_kill_before_the_webhook_was_taken_loses_it_not(tmp_path: Path) -> None:
    """What was told to nobody yet when the process was killed is sent by the next one, once; a chosen token counts."""
    port = free_port()
    chosen = {"HOOK_SECRET": SECRET, "GATEPOST_OPS_TOKEN": "chosen-by-hand"}
    with Gatepost(tmp_path / "one", config(port), **chosen) as gatepost:
        assert gatepost.ports["ops_token"] == "chosen-by-hand"
        assert "chosen-by-hand" not in gatepost.log()
        assert post(gatepost, "chosen-by-hand").status_code == 202
        gatepost.settle()
        wait_until(lambda: "hook_failed" in gatepost.log(), what="a first try that nobody takes")
        gatepost.kill()
        endpoint = Endpoint(port)
        try:
            gatepost.start()
            wait_until(lambda: len(endpoint.got) == 1, what="the webhook after the restart")
            assert gatepost.terminate() == 0
            assert len(endpoint.got) == 1
        finally:
            endpoint.close()
