"""Templates: Jinja in values only, through an allow-list of its syntax.

Names, constants, comparisons, ``and or not``, ``if`` and the filters below; no calls, loops, arithmetic,
attributes or assignments. A name that is not given is an error; what comes out is at most 255 characters.
Most templates are text and bare names: these are filled without Jinja, which is imported for the others only.
"""

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

from parsers.errors import nearest

if TYPE_CHECKING:
    from jinja2 import Environment, nodes

MAX_SOURCE: Final = 1000
MAX_OUTPUT: Final = 255

_ALLOWED: Final = frozenset((
    "Template", "Output", "TemplateData", "Name", "Const", "Filter", "If", "CondExpr", "Compare", "Operand", "And",
    "Or", "Not",
))  # fmt: skip
_TYPO: Final = 0.8
"""How alike two names are of which one is the other misspelt (difflib's ratio)."""
_BARE = re.compile(r"(?:[^{}]|\{\{ *[a-z_]+ *\}\})*")
_NAME = re.compile(r"\{\{ *([a-z_]+) *\}\}")
WORDS: Final = frozenset(("and", "else", "false", "if", "in", "is", "none", "not", "or", "true"))
"""What Jinja does not take for names."""


class BadTemplate(ValueError):
    """A template that is not in our language; `nearest` is the known word nearest to the wrong one."""

    def __init__(self, message: str, nearest: str | None = None) -> None:
        self.nearest = nearest
        super().__init__(message)


class Unfilled(ValueError):
    """A template that cannot be filled with the values at hand; the text says why, without the values."""


_DIRECTIVES: Final = "%Y %y %m %d %b %B %H %I %M %p"
_MAY_BE_DATES: Final = frozenset(("Name", "Filter", "CondExpr"))
_STYLE = re.compile(r"(?:[^%]|%[YymdBbHMIp]){1,60}")


def _as_date(value: Any, style: str = "%Y-%m-%d") -> str:
    if not isinstance(value, dt.date):
        raise TypeError("`date` takes a date")
    return value.strftime(style)


def _slug(value: Any) -> str:
    text = unicodedata.normalize("NFKD", str(value)).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _upper(value: Any) -> str:
    return str(value).upper()


def _lower(value: Any) -> str:
    return str(value).lower()


_FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "date": _as_date,
    "upper": _upper,
    "lower": _lower,
    "slug": _slug,
}
"""Our filters; ``default`` is Jinja's own."""
_FILTER_NAMES: Final = (*_FILTERS, "default")


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, StrictUndefined
    from jinja2.filters import do_default

    environment = Environment(undefined=StrictUndefined, autoescape=False, cache_size=0)  # noqa: S701 - plain text
    environment.filters = {**_FILTERS, "default": do_default}
    environment.globals = {}
    environment.tests = {}
    return environment


class Template:
    """One compiled template."""

    __slots__ = ("_jinja", "dated", "names", "needed", "source")

    def __init__(self, source: str, known: Iterable[str] | None = None) -> None:
        """Compile `source`; raise BadTemplate for syntax outside the language or a name misspelt.

        A name that is not in `known` and near none of them may be a column of a unit map: which mailboxes have it is
        known where the mailboxes are (``worker/columns.py``), and filling without it is an error.
        """
        if len(source) > MAX_SOURCE:
            raise BadTemplate(f"a template is at most {MAX_SOURCE} characters long")
        names = needed = frozenset(_NAME.findall(source))
        dated = frozenset[str]()
        self._jinja: Any = None
        if not _BARE.fullmatch(source) or names & WORDS:
            tree = _parsed(source)
            names, needed = _checked_names(tree)
            dated = _dated_names(tree)
            self._jinja = _environment().from_string(tree)
        self.names = names
        self.needed = needed
        """The names that no `default` stands in for."""
        self.dated = dated
        """The names that the filter `date` is put on: each must be a date."""
        if known is not None:
            _check_spelling(names, tuple(known))
        self.source = source

    def fill(self, values: Mapping[str, Any]) -> str:
        """Return the text with `values` in it; raise Unfilled when a name is absent or the text too long."""
        if self._jinja is not None:
            text = _rendered(self._jinja, {name: values[name] for name in self.names if name in values})
        elif missing := sorted(self.names.difference(values)):
            raise Unfilled(f"the template has no value for {', '.join(missing)}")
        else:
            text = _NAME.sub(lambda match: str(values[match[1]]), self.source)
        if len(text) > MAX_OUTPUT:
            raise Unfilled(f"the template gives more than {MAX_OUTPUT} characters")
        return text


@lru_cache(maxsize=256)
def template(source: str) -> Template:
    """Return the compiled template of `source`, made once."""
    return Template(source)


def _parsed(source: str) -> "nodes.Template":
    from jinja2 import TemplateSyntaxError

    try:
        return _environment().parse(source)
    except TemplateSyntaxError as error:
        raise BadTemplate(f"not a template: {error.message}") from error


def _rendered(jinja: Any, values: Mapping[str, Any]) -> str:
    from jinja2 import UndefinedError

    try:
        return jinja.render(values)
    except UndefinedError as error:
        raise Unfilled("the template has no value for a name") from error
    except (TypeError, ValueError) as error:
        raise Unfilled("a filter of the template does not take this value") from error


def _check_spelling(names: Iterable[str], known: tuple[str, ...]) -> None:
    """Refuse a name that is one of `known` but for a letter or two."""
    for name in sorted(set(names).difference(known)):
        from difflib import get_close_matches  # few templates pay for it

        if get_close_matches(name, known, n=1, cutoff=_TYPO):
            raise BadTemplate(f"unknown name `{name}`", nearest(name, known))


def _checked_names(tree: "nodes.Template") -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of a template, and those of them that no `default` stands in for."""
    from jinja2 import nodes

    names: set[str] = set()
    needed: set[str] = set()
    defaulted: set[int] = set()
    for node in _walk(tree):
        if type(node).__name__ not in _ALLOWED:
            raise BadTemplate(f"`{type(node).__name__.lower()}` has no place in a template")
        if isinstance(node, nodes.Name):
            names.add(node.name)
            if id(node) not in defaulted:
                needed.add(node.name)
        elif isinstance(node, nodes.Filter):
            _check_filter(node)
            if node.name == "default":
                defaulted.add(id(node.node))
    return frozenset(names), frozenset(needed)


def _check_filter(node: "nodes.Filter") -> None:
    if node.name not in _FILTER_NAMES:
        raise BadTemplate(f"unknown filter `{node.name}`", nearest(node.name, _FILTER_NAMES))
    if node.kwargs or node.dyn_args or node.dyn_kwargs or len(node.args) > 1:
        raise BadTemplate(f"the filter `{node.name}` takes at most one plain argument")
    if not all(type(argument).__name__ == "Const" for argument in node.args):
        raise BadTemplate(f"the filter `{node.name}` takes constants only")
    styles = [cast("nodes.Const", argument).value for argument in node.args]
    if node.name == "date":
        _check_style(styles)
        if type(node.node).__name__ not in _MAY_BE_DATES:
            raise BadTemplate("the filter `date` takes the name of a date")
    elif styles and node.name != "default":
        raise BadTemplate(f"the filter `{node.name}` takes no argument")


def _check_style(styles: list[Any]) -> None:
    """Refuse what says of no date how it is written."""
    for style in styles:
        if not isinstance(style, str):
            raise BadTemplate("the filter `date` takes a style, such as '%d.%m.%Y'")
        unknown = next((word for word in re.findall("%.?", style) if not _STYLE.fullmatch(word)), None)
        if unknown:
            raise BadTemplate(f"unknown date directive `{unknown}`: one of {_DIRECTIVES}")
        if not _STYLE.fullmatch(style):
            raise BadTemplate("the style of a date has 1 to 60 characters")


def _dated_names(tree: "nodes.Template") -> frozenset[str]:
    """Return the names that the filter `date` is put on, those with a `default` too."""
    from jinja2 import nodes

    taken = [node.node for node in _walk(tree) if isinstance(node, nodes.Filter) and node.name == "date"]
    inner = [node.node if isinstance(node, nodes.Filter) else node for node in taken]
    return frozenset(node.name for node in inner if isinstance(node, nodes.Name))


def _walk(node: "nodes.Node") -> Iterable["nodes.Node"]:
    yield node
    for child in node.iter_child_nodes():
        yield from _walk(child)
