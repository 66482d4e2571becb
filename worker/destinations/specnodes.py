"""Nodes of a destination file to numbers, JSON paths, paths and templates, with a fault for what does not fit."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from parsers.errors import nearest
from parsers.nodes import NodeReader
from parsers.template import BadTemplate, Template
from parsers.yamltree import Node
from worker.destinations.spec import JsonPath, Path, split_path

_PATH: Final = re.compile(r"/[A-Za-z0-9/._~:@!$&'()*+,;=?%-]*")


class SpecNodes(NodeReader):
    """Reads the small things that stand in several places of a file."""

    def need(self, node: Node, keys: Mapping[str, Node], needed: Iterable[str], what: str) -> None:
        for key in needed:
            if key not in keys:
                self.fault(node, f"{what} needs the key `{key}`")

    def number(self, node: Node | None, what: str, default: int, most: int) -> int:
        text = self.text(node, what)
        if node is None or not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) <= most):
            self.fault(node, f"{what} is a whole number up to {most}", text)
            return default
        return int(text)

    def json_path(self, node: Node | None, what: str) -> JsonPath:
        text = self.text(node, what)
        if text == ".":
            return (".",)
        if node is not None and text and not all(text.split(".")):
            self.fault(node, f"{what} is a path like error.message or content.0.id", text)
        return tuple(text.split(".")) if text else ()

    def path(self, node: Node | None, known: Iterable[str], what: str) -> Path:
        """Return a path below the base URL. Its names stand bare, since each is encoded as one segment or value."""
        text = self.text(node, what)
        if node is None or not text:
            return Path(texts=("",), names=())
        found = split_path(text)
        if not text.startswith("/") or not all(_PATH.fullmatch(f"/{part}") for part in found.texts):
            self.fault(node, f"{what} starts with a slash, and takes names as {{{{ name }}}} and nothing more", text)
        self.names(node, found.names, known)
        return found

    def names(self, node: Node, used: Iterable[str], known: Iterable[str]) -> None:
        known = tuple(known)
        for name in used:
            if name not in known:
                hint = "; a column of the unit map is listed under `columns`"
                self.fault(node, f"unknown name `{name}`{hint}", name, nearest(name, known))

    def template(self, node: Node, text: str, known: Iterable[str]) -> Template:
        try:
            found = Template(text)
        except BadTemplate as error:
            self.fault(node, str(error), text, error.nearest)
            return Template("")
        self.names(node, sorted(found.names), known)
        return found
