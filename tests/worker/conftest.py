"""Webhooks: endpoints that listen, and a rig that tells them."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.rigs.endpoint import SECRET, Endpoint
from tests.rigs.hooked import Hooked


@pytest.fixture
def make_endpoint() -> Iterator[Callable[[], Endpoint]]:
    """Make listening endpoints, which are closed with the test."""
    with contextlib.ExitStack() as stack:

        def make() -> Endpoint:
            endpoint = Endpoint()
            stack.callback(endpoint.close)
            return endpoint

        yield make


@pytest.fixture
def hooked(
    database_url: str, make_endpoint: Callable[[], Endpoint], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hooked]:
    """A rig with one endpoint, on SQLite and on PostgreSQL."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    made = Hooked(database_url, make_endpoint)
    yield made
    made.deliver.close()
    made.db.close()
