"""What ``gatepost parse`` imports: it has to be quick."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.rigs.gatepost import demo_mail

HEAVY = ("alembic", "celery", "httpx", "kombu", "prometheus_client", "psycopg", "redis", "sqlalchemy", "starlette")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("'parse', 'm.eml', '--mailbox', 'sitelink@demo.test', '--trust'", set()),
        ("'audit'", {"sqlalchemy"}),
    ],
)
def test_parse_imports_no_library_of_the_service(arguments: str, expected: set[str], tmp_path: Path) -> None:
    """Reading one mail brings in no store, queue, web or client library; what looks into the store does."""
    (tmp_path / "m.eml").write_bytes(demo_mail("01"))
    code = (
        f"import sys\nfrom worker.cli import main\nmain([{arguments}], standalone_mode=False)\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    found = set(done.stderr.split())
    assert expected <= found
    assert expected or not found
