"""The pages of the documentation, and what stands in them: tables, code blocks, links, commands."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md")))

_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block of a page."""

    page: Path
    info: str
    text: str


def read(name: str) -> str:
    """Return the text of a page below ``docs``."""
    return (DOCS / name).read_text("utf-8")


def blocks(info: str) -> list[Block]:
    """Return the blocks of all pages with this info string."""
    return [
        Block(page=page, info=found[1], text=found[2])
        for page in PAGES
        for found in _BLOCK.finditer(page.read_text("utf-8"))
        if found[1] == info
    ]


def prose(text: str) -> str:
    """Return a page without its fenced blocks."""
    return _BLOCK.sub("", text)


def sections(text: str) -> dict[str, str]:
    """Return the parts of a page by their heading, without the marks."""
    parts = re.split(r"^#{2,3} (.+)$", prose(text), flags=re.MULTILINE)
    return {head.replace("`", ""): body for head, body in zip(parts[1::2], parts[2::2], strict=True)}


def rows(text: str) -> Iterator[list[str]]:
    """Yield the rows of a page's tables as cells, headings and rulers left out."""
    lines = text.splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("|") and not _is_ruler(line) and not _is_ruler(below):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def _is_ruler(line: str) -> bool:
    return line.startswith("|-")


def first_words(text: str) -> list[str]:
    """Return the words in code marks of the first cells of a page's tables."""
    return [word for cells in rows(text) for word in re.findall(r"`([^`]+)`", cells[0])]


def code_spans(text: str) -> list[str]:
    """Return what stands in code marks within a page's prose."""
    return re.findall(r"`([^`\n]+)`", prose(text))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as forges make them."""
    heads = re.findall(r"^#+ (.+)$", prose(page.read_text("utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
