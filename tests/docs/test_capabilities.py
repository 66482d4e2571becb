"""The page of capabilities is what the rules and the destination files say."""

from tests.docs.pages import DOCS, blocks, code_spans, read
from worker.capability_page import page
from worker.catalogue import shipped_apis
from worker.destinations.spec import As
from worker.destinations.specfile import _CALL_KEYS, _KEYS, _LOOK_UP_KEYS, _VALUE_KEYS, read_spec
from worker.destinations.specwords import _ANSWER_KEYS, _JOB_KEYS, _RATE_KEYS, _SUCCESS_KEYS


def test_the_page_is_not_stale() -> None:
    """The page is what `make capabilities` writes."""
    assert read("capabilities.md") == page(), "run `make capabilities`"


def test_the_page_names_every_destination() -> None:
    """A walk that finds nothing fails."""
    assert DOCS.is_dir()
    for name in (*shipped_apis(), "kiss-v2"):
        assert f"`{name}`" in page()


def test_every_destination_file_has_its_part() -> None:
    """Each file that ships is described on the page of destinations."""
    text = read("destinations.md")
    for name in shipped_apis():
        assert f"`rules/destinations/{name}.yaml`" in text


def test_every_example_of_a_destination_file_loads() -> None:
    """What a reader copies from the page is a destination file that loads."""
    found = blocks("yaml destination")
    assert found
    for block in found:
        assert read_spec(block.text, str(block.page)).calls


def test_every_key_of_the_language_is_on_the_page() -> None:
    """Each key that may stand in a destination file is named on the page."""
    told = set(code_spans(read("destinations.md")))
    for keys in (_KEYS, _CALL_KEYS, _LOOK_UP_KEYS, _VALUE_KEYS, _ANSWER_KEYS, _SUCCESS_KEYS, _RATE_KEYS, _JOB_KEYS, As):
        missing = {str(key) for key in keys} - told - {"value", "as", "optional", "itself"}
        assert not missing, missing
